# Completion for bash: commands, their flags, and the words that a flag takes.
BEGIN { FS = "\t" }

$1 == "command" {
    order[++commands] = $2
    n = split($2, w, " ")
    if (n == 1)
        first = first " " w[1]
    else
        second[w[1]] = second[w[1]] " " w[2]
    next
}
$1 == "flag" {
    words = " --" $4 ($3 == "" ? "" : " -" $3)
    if ($2 == "*")
        everywhere = everywhere words
    else
        own[$2] = own[$2] words
    if ($5 != "") {
        pattern = "--" $4 ($3 == "" ? "" : " | -" $3)
        if (!(pattern in taking)) {
            taking[pattern] = 1
            takers = takers (takers == "" ? "" : " | ") pattern
        }
        what = $5 == "FILE" ? "-f" : $5 == "DIR" ? "-d" : $6 != "" ? "-W \"" $6 "\"" : ""
        what = what == "" ? "" : "COMPREPLY=($(compgen " what " -- \"$cur\")); "
        values[$2] = values[$2] "        " pattern ") " what "return ;;\n" # a name may stand for another thing elsewhere
    }
}

# Those of two words stand before those that they begin with.
function command_case(name, follow)
{
    printf "    \"%s\"%s)\n        flags=\"%s\" commands=\"%s\"\n", name, follow == "" ? " | \"" name " \"*" : "",
        substr(own[name], 2), substr(follow, 2)
    if (values[name] != "")
        printf "        case $prev in\n%s        esac\n", values[name]
    print "        ;;"
}

END {
    print "# bash completion for secrets-encrypt " version "; made from the program's own table."
    print "_secrets_encrypt()"
    print "{"
    print "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command= skip= word i flags= commands="
    print "    [ \"$cur\" != \"=\" ] || cur="
    print "    [ \"$prev\" != \"=\" ] || prev=${COMP_WORDS[COMP_CWORD - 2]}"
    print "    for ((i = 1; i < COMP_CWORD; i++)); do"
    print "        word=${COMP_WORDS[i]}"
    print "        if [ \"$word\" = \"=\" ]; then skip=1; continue; fi"
    print "        if [ -n \"$skip\" ]; then skip=; continue; fi"
    print "        case $word in"
    print "        " takers ") skip=1 ;;"
    print "        -*) ;;"
    print "        *) command+=${command:+ }$word ;;"
    print "        esac"
    print "    done"
    print "    COMPREPLY=()"
    print "    case $prev in"
    printf "%s", values["*"]
    print "    esac"
    print "    case $command in"
    print "    \"\") commands=\"" substr(first, 2) "\" ;;"
    for (i = 1; i <= commands; i++)
        if (index(order[i], " "))
            command_case(order[i], "")
    for (i = 1; i <= commands; i++)
        if (!index(order[i], " "))
            command_case(order[i], second[order[i]])
    print "    esac"
    print "    case $cur in"
    print "    -*) COMPREPLY=($(compgen -W \"$flags" everywhere "\" -- \"$cur\")) ;;"
    print "    *) COMPREPLY=($(compgen -W \"$commands\" -- \"$cur\")) ;;"
    print "    esac"
    print "}"
    print "complete -F _secrets_encrypt secrets-encrypt"
}
