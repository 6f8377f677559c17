# secrets-encrypt(1): the table's commands and flags, put into the page's text at @commands@ and @flags@.
BEGIN { FS = "\t" }

function item(short, long, takes, choices, help,    line)
{
    line = ".It" (short == "" ? "" : " Fl " short " ,") " Fl Fl " long (takes == "" ? "" : " Ar " takes)
    print line
    print roff(help) (choices == "" ? "" : ".")
    if (choices != "") {
        gsub(/ /, ", ", choices)
        print "One of: " choices "."
    }
}

$1 == "command" {
    order[++commands] = $2
    operand[$2] = $3
    summary[$2] = $4
    help[$2] = $6
    next
}
$1 == "example" {
    example[$2] = example[$2] (example[$2] == "" ? "" : "\n") ".Dl " literal($3)
    next
}
$1 == "exit" {
    exits = exits (exits == "" ? "" : "\n") ".It " $2 " " $3 "\n" roff($4) "."
    next
}
$1 == "flag" {
    n = ++flags[$2]
    flag[$2, n] = $3 FS $4 FS $5 FS $6 FS $7
    next
}

function flag_list(of,    i, f)
{
    if (!flags[of])
        return
    print ".Bl -tag -width Ds" (of == "*" ? "" : " -compact")
    for (i = 1; i <= flags[of]; i++) {
        split(flag[of, i], f, FS)
        item(f[1], f[2], f[3], f[4], f[5])
    }
    print ".El"
}

# "[NAME]" may be left out.
function argument(operand)
{
    if (operand ~ /^\[/)
        return " Op Ar " substr(operand, 2, length(operand) - 2)
    return operand == "" ? "" : " Ar " operand
}

# A command line, with real dashes and quotes.
function literal(s)
{
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    gsub(/'/, "\\(aq", s)
    return s
}

function command_list(    i, name)
{
    print ".Bl -tag -width Ds"
    for (i = 1; i <= commands; i++) {
        name = order[i]
        print ".It Cm " name argument(operand[name])
        print roff(help[name] == "" ? summary[name] "." : help[name])
        if (flags[name]) {
            print ".Pp"
            flag_list(name)
        }
        if (example[name] != "")
            print ".Pp\n" example[name]
    }
    print ".El"
}

/^@commands@$/ { command_list(); next }
/^@exits@$/ { print exits; next }
/^@flags@$/ { flag_list("*"); next }
{
    gsub(/@version@/, version)
    print
}
