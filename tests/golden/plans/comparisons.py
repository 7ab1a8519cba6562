# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.auth_time
# token_3: token.level
# token_4: token.sub
# resource_0: resource.id, of r
# resource_1: resource.owner, of r
# resource_2: resource.floor, of r
# resource_3: resource.opens, of r


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1, held_2 = held
    resource_2 = resource[2]
    token_3 = token[3]
    token_4 = token[4]
    resource_1 = resource[1]
    found = []
    if (resource_2 is not None and token_3 is not None and (resource_2 <= token_3)) and (token_3 is not None and (not token_3 < held_1)):
        found.append(held_0)
    if token_4 is not None and resource_1 is not None and (token_4 == resource_1):
        found.append(held_2)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1, held_2 = held
    resource_1 = resource[1]
    resource_3 = resource[3]
    found = []
    if not (resource_1 is not None and resource_1 == held_1 or (resource_3 is not None and now - 60 <= resource_3 <= now + held_2)):
        found.append(held_0)
    return found


def rules_2(token, resource, context, now, held):
    _function, held_0, held_1 = held
    resource_3 = resource[3]
    token_2 = token[2]
    found = []
    if (resource_3 is not None and resource_3 <= now) and (token_2 is not None and now - held_1 <= token_2 <= now + 60):
        found.append(held_0)
    return found


# allow read on r
# rules_0, which holds
#     held_0 = 'high'
#     held_1 = 3
#     held_2 = 'owner'

# deny write on r
# rules_1, which holds
#     held_0 = 'others'
#     held_1 = 'ann'
#     held_2 = 3600

# allow write on r
# rules_2, which holds
#     held_0 = 'open'
#     held_1 = 3600
