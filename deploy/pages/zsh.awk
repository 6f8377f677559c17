# Completion for zsh, by _arguments: the command first, then the flags of that command.
BEGIN { FS = "\t" }

# One flag as _arguments wants it: "(-o --output)"{-o+,--output=}"[help]:FORMAT:(text json)".
function spec(short, long, takes, choices, help,    s, action)
{
    gsub(/\\/, "\\\\", help)
    gsub(/:/, "\\:", help)
    gsub(/\[/, "\\[", help)
    gsub(/\]/, "\\]", help)
    action = takes == "FILE" ? "_files" : takes == "DIR" ? "_files -/" : choices != "" ? "(" choices ")" : ""
    s = takes == "" ? quoted("[" help "]") : quoted("[" help "]:" takes ":" action)
    if (short == "")
        return "--" long (takes == "" ? "" : "=") s
    return quoted("(-" short " --" long ")") "{-" short (takes == "" ? "" : "+") ",--" long (takes == "" ? "" : "=") "}" s
}

# "[NAME]" may be left out.
function unbracketed(operand)
{
    gsub(/[][]/, "", operand)
    return operand
}

$1 == "command" {
    n = split($2, w, " ")
    if (n > 1) {
        seconds[w[1]] = seconds[w[1]] " " w[2]
        next
    }
    order[++commands] = $2
    operand[$2] = $3
    summary[$2] = $4
    next
}
$1 == "flag" {
    line = " \\\n            " spec($3, $4, $5, $6, $7)
    if ($2 == "*")
        everywhere = everywhere (everywhere == "" ? "" : "\n    ") spec($3, $4, $5, $6, $7)
    else if (split($2, w, " ") > 1)
        own[w[1]] = own[w[1]] (has[w[1], $4]++ ? "" : line)
    else if (!has[$2, $4]++)
        own[$2] = own[$2] line
}

END {
    print "#compdef secrets-encrypt"
    print "# zsh completion for secrets-encrypt " version "; made from the program's own table."
    print "local context state state_descr line"
    print "typeset -A opt_args"
    print "local -a everywhere commands"
    print "everywhere=(\n    " everywhere "\n)"
    print "commands=("
    for (i = 1; i <= commands; i++) {
        text = summary[order[i]]
        gsub(/:/, "\\:", text)
        print "    " quoted(order[i] ":" text)
    }
    print ")"
    print "_arguments -C $everywhere ':command:->command' '*::argument:->argument'"
    print "case $state in"
    print "command) _describe command commands ;;"
    print "argument)"
    print "    case $words[1] in"
    for (i = 1; i <= commands; i++) {
        c = order[i]
        printf "    %s)\n        _arguments $everywhere", c
        printf "%s", own[c]
        if (c in seconds)
            printf " \\\n            '1::command:(%s)' '2::name: '", substr(seconds[c], 2)
        n = split(unbracketed(operand[c]), argument, " ")
        for (k = 1; !(c in seconds) && k <= n; k++)
            printf " \\\n            '%d:%s%s: '", k, operand[c] ~ /^\[/ ? ":" : "", argument[k]
        print "\n        ;;"
    }
    print "    esac"
    print "    ;;"
    print "esac"
}
