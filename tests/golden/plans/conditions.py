# token_0: token.scopes
# token_1: whether the subject is a user or an application
# token_2: token.level
# token_3: token.sub
# resource_0: resource.id, of r
# resource_1: resource.owner, of r


def rules_0(token, resource, context, now, held):
    _function, held_0, held_1, held_2 = held
    token_3 = token[3]
    resource_1 = resource[1]
    token_2 = token[2]
    found = []
    condition_1_fails = token_3 is not None and resource_1 is not None and (not token_3 == resource_1)
    condition_0_holds = token_2 is not None and held_0 < token_2
    condition_1_holds = token_3 is not None and resource_1 is not None and (token_3 == resource_1)
    condition_2_holds = condition_0_holds or condition_1_holds
    if condition_0_holds and condition_1_fails:
        found.append(held_1)
    if condition_2_holds:
        found.append(held_2)
    return found


# allow read on r
# rules_0, which holds
#     held_0 = 5
#     held_1 = 'other'
#     held_2 = 'reader'
