"""What `scripts/bench` is made of.

    cli            arguments, and which parts run
    interpreter    the Pythons, and a venv for each
    process        lines with deadlines; what /proc says of a process
    target         a program under measurement, from outside
    tools          nothing, Memray, prof: how each attaches and leaves
    speed          workloads × configurations × rounds
    load           requests for a web service
    disturbance    how long an attach takes and who notices
    instructions   what an event costs in instructions, by `stepper`
    reports        time and memory of reports of large captures
    agreement      the same cases as both tools see them
    figures        medians and their intervals
    limits         what a recording may cost besides time
    runs           measurements beside the unprofiled one
    tables         Markdown
    document       all of it, and the parts of the documents
    machine        what all this ran on
    inside/        the programs that run in the target

A measurement is a plain dict, so that all of them can be kept as JSON.
"""
