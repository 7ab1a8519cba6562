au BufRead,BufNewFile *.policy set filetype=policy
