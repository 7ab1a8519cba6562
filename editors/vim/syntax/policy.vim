" Vim syntax file for policyd's policies and their tests.
if exists("b:current_syntax")
  finish
endif
let b:current_syntax = "policy"

syn match policyNumber /\v-?[0-9][0-9A-Za-z_.]*/
syn match policyComparison /\v\=\=|!\=|\<\=|\>\=|\<|\>/
syn match policyName /\v[A-Za-z_][0-9A-Za-z_-]*%(\.[0-9A-Za-z_-]+)*/
syn match policyClock /\v%([0-9A-Za-z_.:-])@<!%(now)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyState /\v%([0-9A-Za-z_.:-])@<!%(application|asserted|present|user)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyType /\v%([0-9A-Za-z_.:-])@<!%(decimal|string|bool|list|time|int|set|ip)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyClause /\v%([0-9A-Za-z_.:-])@<!%(audience|includes|resource|userinfo|actions|because|context|missing|define|unless|values|allow|claim|never|prove|route|scope|token|deny|from|test|when|any|api|for|key|as|at|by|of|on)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyOperator /\v%([0-9A-Za-z_.:-])@<!%(subject|starts|within|ends|last|next|some|with|all|and|has|not|in|is|or)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyConstant /\v%([0-9A-Za-z_.:-])@<!%(false|true)%([0-9A-Za-z_-]|\.[0-9A-Za-z_])@!/
syn match policyFact /\v%([0-9A-Za-z_.:-])@<!%(resource|userinfo|context|token|item|now)\.[0-9A-Za-z_.-]+/
syn match policyScope /\v[A-Za-z_][0-9A-Za-z_-]*%([.0-9A-Za-z_-]*:[0-9A-Za-z_.-]+)+/
syn match policyKey /\v[A-Za-z_][0-9A-Za-z_-]*%(:%(\s|$))@=/
syn match policySection /\v^%(audience|resource|userinfo|context|define|values|allow|claim|prove|route|scope|deny|test|api)%([0-9A-Za-z_.:-])@!/
syn match policyScope /\v%(%([0-9A-Za-z_.:-])@<!scope\s+)@<=[A-Za-z_][0-9A-Za-z_-]*%([.:][0-9A-Za-z_.-]+)*/
syn match policyScopeWord /\v%([0-9A-Za-z_.:-])@<!scope%(\s+[A-Za-z_])@=/
syn match policyEscape /\v\\%(u\{\x{1,6}\}|[\\nt"])/ contained
syn region policyString start=/"/ skip=/\\./ end=/"/ oneline contains=policyEscape
syn match policyComment /\v\/\/.*$/
syn match policyDoc /\v\/\/\/%(\/)@!.*$/

hi def link policyNumber Number
hi def link policyComparison Operator
hi def link policyName Normal
hi def link policyClock Special
hi def link policyState Constant
hi def link policyType Type
hi def link policyClause Statement
hi def link policyOperator Operator
hi def link policyConstant Boolean
hi def link policyFact Identifier
hi def link policyScope Constant
hi def link policyKey Identifier
hi def link policySection Keyword
hi def link policyScopeWord Statement
hi def link policyString String
hi def link policyEscape SpecialChar
hi def link policyComment Comment
hi def link policyDoc SpecialComment
