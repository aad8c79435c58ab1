using OrleansMq.Producers;

namespace OrleansMq.Partitions;

/// <summary>An append, as the <see cref="AppendCore"/> sees it.</summary>
internal interface IAppend
{
    /// <summary>When it counts as appended.</summary>
    Acks Acks { get; }

    /// <summary>Whether its batch is in the log: written by this group, or before as the original of a duplicate.</summary>
    bool IsWritten { get; }
}

/// <summary>A leader's admission, log and replication, as the <see cref="AppendCore"/> calls them. Every call is made under the append
/// lock.</summary>
/// <typeparam name="TAppend">The host's appends.</typeparam>
internal interface IAppendTarget<in TAppend>
{
    /// <summary>Whether leadership or replicas forbid the append now; the target then decides it.</summary>
    bool Refuses(TAppend append);

    /// <summary>Decides by the state of its producer. Staged batches count as appended.</summary>
    ProducerDecision Check(TAppend append);

    /// <summary>Decides an append that is not staged: a duplicate, whose original is in the log, a fenced producer, or a wrong
    /// sequence.</summary>
    void DecideUnstaged(TAppend append, in ProducerDecision decision);

    /// <summary>Stamps offset and epoch into the batch and adds it to the group. If the group before it is written first, or the append is
    /// refused, the target decides those appends.</summary>
    void Stage(TAppend append);

    /// <summary>Writes the staged group with one call, and decides its appends.</summary>
    void Write();

    /// <summary>Takes an append that is in the log and waits for the in-sync replicas: it is answered when they hold it.</summary>
    void Await(TAppend append);

    /// <summary>Takes a decided group with at least one append in the log: followers get what was written. Not called if all appends were
    /// refused.</summary>
    void AfterAppends();
}

/// <summary>
/// One group commit of a leader, from admission to replication. The broker's append loop and the simulation run this code, each with its
/// own log behind <see cref="IAppendTarget{TAppend}"/>.
/// <code>
/// each append:  refused by leadership or replicas --> decided
///               duplicate, fenced, out of sequence --> decided
///               stamped with offset and epoch      --> staged, and part of the checks of later appends
/// the group:    one write --> all staged appends are in the log, or none of them
/// each append:  in the log, acks=all         --> waits for the high watermark, in the order of the log
///               in the log, acks=replicated  --> waits for the replicas, not for their flushes, in the order of the log
/// the group:    followers get the batches, the high watermark advances as far as it may
/// </code>
/// </summary>
internal static class AppendCore
{
    /// <summary>Runs a group of appends through all steps.</summary>
    public static void Run<TAppend>(IAppendTarget<TAppend> target, List<TAppend> appends)
        where TAppend : IAppend
    {
        foreach (var append in appends)
            Admit(target, append);
        target.Write();
        var isWritten = false;
        foreach (var append in appends)
        {
            if (!append.IsWritten)
                continue;
            isWritten = true;
            if (append.Acks.WaitsForReplicas())
                target.Await(append);
        }
        if (isWritten)
            target.AfterAppends();
    }

    /// <summary>Stages one append, or lets the target decide it.</summary>
    public static void Admit<TAppend>(IAppendTarget<TAppend> target, TAppend append)
        where TAppend : IAppend
    {
        if (target.Refuses(append))
            return;
        var decision = target.Check(append);
        if (decision.Outcome == ProducerOutcome.Accept)
            target.Stage(append);
        else
            target.DecideUnstaged(append, decision);
    }
}
