"""Judge many certificates that somebody has collected, as `pinverify audit` does.

    inputs ──► readers ──► batches ──► judge ──► summary, findings
    files      tables      rows        policy    what is printed, -o, --plot
    folders    tiles

Every reader yields batches of some thousand rows, or a fault, and goes on behind it.
So memory does not grow with the input, and no fault hides what comes after it.

Ten million rows: with a column of hosts the core hashes and judges whole batches, and
Python looks only at rows that have a rule. Without one, the names of a certificate must
be read, which takes 50 times as long as its key. So a batch is first searched for the
domains of the policy, as bytes: a certificate without any of them has no name with a
rule. `cryptography` reads the names of the others, and is imported for the first one.
That a key is pinned does not spare this: it may be pinned for another host.
"""
