# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.groups
# resource_0: resource.id, of r
# resource_1: resource.team, of r
# resource_2: resource.tags, of r


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1 = held
    resource_2 = resource[2]
    found = []
    if not (resource_2 is not None and (not resource_2 >= held_1)):
        found.append(held_0)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1, held_2, held_3, held_4, held_5 = held
    token_0 = token[0]
    resource_1 = resource[1]
    token_2 = token[2]
    resource_2 = resource[2]
    found = []
    if held_1 in token_0:
        found.append(held_0)
    if resource_1 is not None and resource_1 in held_3:
        found.append(held_2)
    if resource_1 is not None and token_2 is not None and (resource_1 in token_2):
        found.append(held_4)
    if token_2 is not None and resource_2 is not None and (not token_2.isdisjoint(resource_2)):
        found.append(held_5)
    return found


# deny read on r
# rules_0, which holds
#     held_0 = 'tagged'
#     held_1 = {'sealed', 'secret'}

# allow read on r
# rules_1, which holds
#     held_0 = 'granted'
#     held_1 = 'read:r'
#     held_2 = 'listed'
#     held_3 = {'blue', 'green'}
#     held_4 = 'member'
#     held_5 = 'some'
