# Completion for fish.
BEGIN {
    FS = "\t"
    print "# fish completion for secrets-encrypt " version "; made from the program's own table."
    print "complete -c secrets-encrypt -f"
}

# fish knows no '\'': a quote is \' between single quotes.
function text(s)
{
    gsub(/\\/, "\\\\", s)
    gsub(/'/, "\\'", s)
    return "'" s "'"
}

# When a command of one or of two words was typed.
function typed(command,    w, n)
{
    n = split(command, w, " ")
    if (n == 1)
        return "__fish_seen_subcommand_from " w[1]
    return "__fish_seen_subcommand_from " w[1] "; and __fish_seen_subcommand_from " w[2]
}

$1 == "command" {
    n = split($2, w, " ")
    when = n == 1 ? "__fish_use_subcommand" : "__fish_seen_subcommand_from " w[1] "; and not __fish_seen_subcommand_from " w[2]
    print "complete -c secrets-encrypt -n " text(when) " -a " w[n] " -d " text($4)
}
$1 == "flag" {
    line = "complete -c secrets-encrypt"
    if ($2 != "*")
        line = line " -n " text(typed($2))
    if ($3 != "")
        line = line " -s " $3
    line = line " -l " $4
    if ($5 == "FILE")
        line = line " -r -F"
    else if ($5 == "DIR")
        line = line " -x -a '(__fish_complete_directories)'"
    else if ($6 != "")
        line = line " -x -a " text($6)
    else if ($5 != "")
        line = line " -x"
    print line " -d " text($7)
}
