# What the other scripts share: words of the table (secrets-encrypt --table, see cli/include/cli/args.h) and texts of
# the documents, made ready for where they are put.

# For a man page: `x` in bold, flags with real dashes, links as their text.
function roff(s)
{
    gsub(/\\/, "\\e", s)
    gsub(/…/, "...", s)
    gsub(/\[\[/, "[", s)
    while (match(s, /\[[^][]*\]\([^()]*\)/)) {
        link = substr(s, RSTART + 1, RLENGTH - 1)
        sub(/\].*/, "", link)
        s = substr(s, 1, RSTART - 1) link substr(s, RSTART + RLENGTH)
    }
    while (match(s, /`[^`]*`/))
        s = substr(s, 1, RSTART - 1) "\\fB" substr(s, RSTART + 1, RLENGTH - 2) "\\fR" substr(s, RSTART + RLENGTH)
    gsub(/--/, "\\-\\-", s)
    gsub(/\. +/, ".\n", s) # a sentence begins on a line of its own
    if (s ~ /^[.']/)
        s = "\\&" s
    return s
}

# Between single quotes, for the shells.
function quoted(s)
{
    gsub(/'/, "'\\''", s)
    return "'" s "'"
}
