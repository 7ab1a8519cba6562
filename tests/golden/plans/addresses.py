# token_0: token.scopes
# token_1: whether the subject is a user or an application
# resource_0: resource.id, of r
# context_0: context.address
# context_1: context.hops


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1, held_2, held_3 = held
    context_1 = context[1]
    found = []
    if not (context_1 is not None and (not all_blocks_hit(context_1, held_1))):
        found.append(held_0)
    if not (context_1 is not None and (not any_in_blocks(context_1, held_3))):
        found.append(held_2)
    return found


def rules_1(token, resource, context, now, held):
    _function, held_0, held_1 = held
    context_0 = context[0]
    found = []
    if context_0 is not None and in_blocks(context_0, held_1):
        found.append(held_0)
    return found


# deny read on r
# rules_0, which holds
#     held_0 = 'all-through'
#     held_1 = rows
#         ((4, b'\xc0\x00\x02\x00'), (4, b'\xc0\x00\x02\xff'))
#         ((4, b'\xc63d\x07'), (4, b'\xc63d\x07'))
#     held_2 = 'through'
#     held_3 = rows
#         ((4, b'\xc0\x00\x02\x00'), (4, b'\xc0\x00\x02\xff'))

# allow read on r
# rules_1, which holds
#     held_0 = 'inside'
#     held_1 = rows
#         ((4, b'\n\x00\x00\x00'), (4, b'\n\x7f\xff\xff'))
#         ((4, b'\n\x80\x00\x00'), (4, b'\n\xff\xff\xff'))
#         ((6, b' \x01\r\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01'), (6, b' \x01\r\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01'))
