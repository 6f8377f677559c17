# A page that is written by hand: only the version is filled in.
{
    gsub(/@version@/, version)
    print
}
