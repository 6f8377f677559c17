# secrets-encrypt.yaml(5), from docs/configuration.md: its example, its table of fields (the parser's own), and what it
# says about single fields, put into the page's text at @example@, @fields@ and @notes@.

function cell(s)
{
    gsub(/^ +| +$/, "", s)
    return s
}

function remember_row(    c, n)
{
    n = split($0, c, "|")
    if (n < 8 || c[2] ~ /^ field |^---/)
        return
    fields++
    name[fields] = cell(c[2])
    gsub(/`/, "", name[fields])
    type[fields] = cell(c[3])
    fallback[fields] = cell(c[4])
    gsub(/`/, "", fallback[fields])
    allowed[fields] = cell(c[5])
    gsub(/` +`/, ", ", allowed[fields])
    gsub(/`/, "", allowed[fields])
    needed[fields] = cell(c[6])
    meaning[fields] = cell(c[7])
}

function print_fields(    i, facts)
{
    print ".Bl -tag -width Ds"
    for (i = 1; i <= fields; i++) {
        print ".It Cm " name[i]
        facts = type[i]
        facts = facts (allowed[i] == "" ? "" : " (" allowed[i] ")")
        facts = facts (fallback[i] == "" ? "" : "; default: " fallback[i])
        facts = facts (needed[i] == "" ? "" : needed[i] == "all" ? "; needed" : "; needed by " needed[i])
        sub(/the agent the/, "the agent and the", facts)
        print roff(meaning[i]) "."
        print ".Pq " roff(facts)
    }
    print ".El"
}

FILENAME != seen { seen = FILENAME; part++ }

# The document.
part == 1 && /^```yaml/ { yaml = 1; next }
part == 1 && /^```/ { yaml = 0; past = 1; next }
part == 1 && yaml { example[++examples] = $0; next }
part == 1 && /^\|/ { remember_row(); next }
part == 1 && past { note[++notes] = $0; next }
part == 1 { next }

# The page.
/^@example@$/ {
    print ".Bd -literal -offset indent"
    for (i = 1; i <= examples; i++) {
        gsub(/…/, "...", example[i])
        print example[i]
    }
    print ".Ed"
    next
}
/^@fields@$/ { print_fields(); next }
/^@notes@$/ {
    for (i = 1; i <= notes; i++)
        if (note[i] != "") {
            if (i > 1 && note[i - 1] == "" && printed++)
                print ".Pp"
            printed++
            print roff(note[i])
        }
    next
}
{
    gsub(/@version@/, version)
    print
}
