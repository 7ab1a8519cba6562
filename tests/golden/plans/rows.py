# token_0: token.scopes
# token_1: whether the subject is a user or an application
# resource_0: resource.id, of r
# resource_1: resource.tenant, of r
# resource_2: resource.size, of r


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1, held_2, held_3, held_4, held_5 = held
    resource_1 = resource[1]
    resource_2 = resource[2]
    found = []
    for names, constant_0, constant_1 in held_0:
        if (resource_1 is not None and resource_1 == constant_0) and (resource_2 is not None and resource_2 < constant_1):
            found += names
    if (resource_2 is not None and resource_2 < held_2) and (resource_1 is not None and resource_1 == held_3):
        found.append(held_1)
    if resource_2 is not None and resource_2 < held_5:
        found.append(held_4)
    return found


# allow read on r
# rules_0, which holds
#     held_0 = rows
#         (('blue',), 'blue', 10)
#         (('green', 'green-twin'), 'green', 20)
#     held_1 = 'green-too'
#     held_2 = 20
#     held_3 = 'green'
#     held_4 = 'small'
#     held_5 = 1
