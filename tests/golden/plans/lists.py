# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.details
# resource_0: resource.id, of r
# resource_1: resource.price, of r


def rules_0(token, resource, context, now, held):
    _function, held_0 = held
    token_2 = token[2]
    found = []
    if not (token_2 is not None and all((item[3] is not None and item[3] for item in token_2))):
        found.append(held_0)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1 = held
    token_2 = token[2]
    resource_1 = resource[1]
    found = []
    if token_2 is not None and any(((item[0] is not None and item[0] == held_1) and (resource_1 is not None and item[1] is not None and (resource_1 <= item[1])) for item in token_2)):
        found.append(held_0)
    return found


def rules_2(token, resource, context, now, held):
    _function, held_0 = held
    token_2 = token[2]
    found = []
    for scope in keys_among(token_2, 0, held_0):
        there = held_0.get(scope)
        found += there[0](token, resource, context, now, there)
    return found


def rules_3(token, resource, context, now, held):
    _function, held_0, held_1 = held
    token_2 = token[2]
    resource_1 = resource[1]
    found = []
    if not (token_2 is not None and all((item[0] is not None and (not item[0] == held_1) or (item[1] is not None and resource_1 is not None and (not item[1] < resource_1)) for item in token_2))):
        found.append(held_0)
    return found


def rules_4(token, resource, context, now, held):
    _function, held_0 = held
    token_2 = token[2]
    resource_1 = resource[1]
    found = []
    for names, constant_0 in held_0:
        if not (token_2 is not None and all((item[0] is not None and (not item[0] == constant_0) or (item[1] is not None and resource_1 is not None and (not item[1] < resource_1)) for item in token_2))):
            found += names
    return found


# deny pay on r
# rules_0, which holds
#     held_0 = 'unless-all'

# allow pay on r
# rules_1, which holds
#     held_0 = 'pays'
#     held_1 = 'pay'

# deny read on r
# rules_2, which holds
#     held_0 = a look-up
#         'a':
#             rules_3, which holds
#                 held_0 = 'no-a'
#                 held_1 = 'a'
#         'b':
#             rules_3, which holds
#                 held_0 = 'no-b'
#                 held_1 = 'b'
#         'c':
#             rules_3, which holds
#                 held_0 = 'no-c'
#                 held_1 = 'c'
#         'd':
#             rules_3, which holds
#                 held_0 = 'no-d'
#                 held_1 = 'd'
#         'e':
#             rules_3, which holds
#                 held_0 = 'no-e'
#                 held_1 = 'e'
#         'f':
#             rules_3, which holds
#                 held_0 = 'no-f'
#                 held_1 = 'f'
#         'g':
#             rules_3, which holds
#                 held_0 = 'no-g'
#                 held_1 = 'g'
#         'h':
#             rules_3, which holds
#                 held_0 = 'no-h'
#                 held_1 = 'h'
#         None:
#             rules_4, which holds
#                 held_0 = rows
#                     (('no-a',), 'a')
#                     (('no-b',), 'b')
#                     (('no-c',), 'c')
#                     (('no-d',), 'd')
#                     (('no-e',), 'e')
#                     (('no-f',), 'f')
#                     (('no-g',), 'g')
#                     (('no-h',), 'h')
