# token_0: token.scopes
# token_1: whether the subject is a user or an application
# resource_0: resource.id, of r
# resource_1: resource.tenant, of r
# resource_2: resource.size, of r


def rules_0(token, resource, context, now, held):
    _function, held_0 = held
    resource_1 = resource[1]
    found = []
    there = held_0.get(resource_1)
    if there is not None:
        found += there[0](token, resource, context, now, there)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1 = held
    resource_2 = resource[2]
    found = []
    if not (resource_2 is not None and (not held_1 < resource_2)):
        found.append(held_0)
    return found


def rules_2(token, resource, context, now, held):
    _function, held_0 = held
    resource_2 = resource[2]
    found = []
    for names, constant_0 in held_0:
        if not (resource_2 is not None and (not constant_0 < resource_2)):
            found += names
    return found


def rules_3(token, resource, context, now, held):
    _function, held_0, held_1 = held
    token_0 = token[0]
    found = []
    for scope in token_0 & held_1:
        there = held_0.get(scope)
        found += there[0](token, resource, context, now, there)
    return found


def rules_4(token, resource, context, now, held):
    _function, held_0 = held
    found = []
    if True:
        found.append(held_0)
    return found


# deny read on r
# rules_0, which holds
#     held_0 = a look-up
#         'amber':
#             rules_1, which holds
#                 held_0 = 'amber'
#                 held_1 = 9
#         'blue':
#             rules_1, which holds
#                 held_0 = 'blue'
#                 held_1 = 9
#         'green':
#             rules_1, which holds
#                 held_0 = 'green'
#                 held_1 = 9
#         'grey':
#             rules_1, which holds
#                 held_0 = 'grey'
#                 held_1 = 9
#         'pink':
#             rules_1, which holds
#                 held_0 = 'pink'
#                 held_1 = 9
#         'red':
#             rules_1, which holds
#                 held_0 = 'red'
#                 held_1 = 9
#         'teal':
#             rules_1, which holds
#                 held_0 = 'teal'
#                 held_1 = 9
#         'white':
#             rules_1, which holds
#                 held_0 = 'white'
#                 held_1 = 9
#         None:
#             rules_2, which holds
#                 held_0 = rows
#                     (('amber', 'blue', 'green', 'grey', 'pink', 'red', 'teal', 'white'), 9)

# allow read on r
# rules_3, which holds
#     held_0 = a look-up
#         's1':
#             rules_4, which holds
#                 held_0 = 'by-s1'
#         's2':
#             rules_4, which holds
#                 held_0 = 'by-s2'
#         's3':
#             rules_4, which holds
#                 held_0 = 'by-s3'
#         's4':
#             rules_4, which holds
#                 held_0 = 'by-s4'
#         's5':
#             rules_4, which holds
#                 held_0 = 'by-s5'
#         's6':
#             rules_4, which holds
#                 held_0 = 'by-s6'
#         's7':
#             rules_4, which holds
#                 held_0 = 'by-s7'
#         's8':
#             rules_4, which holds
#                 held_0 = 'by-s8'
#     held_1 = {'s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8'}
