# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.group
# token_3: whether token.group is there
# resource_0: resource.id, of r
# resource_1: resource.path, of r


def rules_0(token, resource, context, now, held):
    _function, held_0 = held
    resource_1 = resource[1]
    token_3 = token[3]
    found = []
    if not (resource_1 is not None and (token_3 is not None and (not token_3))):
        found.append(held_0)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1, held_2, held_3, held_4 = held
    resource_1 = resource[1]
    token_3 = token[3]
    token_1 = token[1]
    token_2 = token[2]
    found = []
    if (resource_1 is not None and resource_1.endswith(held_1)) and (token_3 is not None and (not token_3)):
        found.append(held_0)
    if (token_1 is not None and token_1 == held_3) and (token_2 is not None and token_2.startswith(held_4)):
        found.append(held_2)
    return found


# deny read on r
# rules_0, which holds
#     held_0 = 'nameless'

# allow read on r
# rules_1, which holds
#     held_0 = 'archive'
#     held_1 = '.zip'
#     held_2 = 'users'
#     held_3 = 'user'
#     held_4 = 'team-'
