# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.guest
# token_3: token.staff
# resource_0: resource.id, of r
# resource_1: resource.closed, of r


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1 = held
    token_2 = token[2]
    token_3 = token[3]
    resource_1 = resource[1]
    found = []
    if not (token_2 is not None and (not token_2) or (token_3 is not None and token_3)):
        found.append(held_0)
    if not (token_3 is not None and (not token_3) or ((resource_1 is not None and (not resource_1)) and (token_2 is not None and token_2))):
        found.append(held_1)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1 = held
    token_3 = token[3]
    resource_1 = resource[1]
    token_2 = token[2]
    found = []
    if (token_3 is not None and token_3) and (resource_1 is not None and resource_1 or (token_2 is not None and (not token_2))):
        found.append(held_0)
    if True:
        found.append(held_1)
    return found


# deny read on r
# rules_0, which holds
#     held_0 = 'guests'
#     held_1 = 'staff-only'

# allow read on r
# rules_1, which holds
#     held_0 = 'staff'
#     held_1 = 'everybody'
