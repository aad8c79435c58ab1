using OrleansMq.Diagnostics;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Partitions;

/// <summary>What placement and leadership need to know of the cluster's brokers. Thread safe.</summary>
internal interface IBrokerPeers
{
    /// <summary>Whether partitions are replicated; otherwise this broker is the only one, and leads all.</summary>
    bool IsReplicated { get; }

    /// <summary>This broker.</summary>
    int Self { get; }

    /// <summary>The brokers that are not declared dead, this one among them.</summary>
    IReadOnlyCollection<int> Live { get; }

    /// <summary>Somebody was declared dead, or came.</summary>
    event Action Changed;

    /// <summary>Where a live broker is reached; null for one that is not alive.</summary>
    SiloAddress? Find(int broker);

    /// <summary>Whether a broker may be given new work: it is alive and does not stop.</summary>
    bool IsActive(int broker);

    /// <summary>The topic's configuration, as far as this broker knows of it; null where it does not.</summary>
    TopicConfig? FindConfig(ReplicaKey key);

    /// <summary>What a live broker says of its replicas of these partitions, in their order; null for one that it does not hold.</summary>
    /// <exception cref="Exception">No answer.</exception>
    Task<IReadOnlyList<ReplicaReport?>> ReportAsync(int broker, IReadOnlyList<ReplicaKey> keys, CancellationToken cancellationToken);
}

/// <summary>What a search for a partition's leader found.</summary>
/// <param name="Choice">Who is to lead, or leads.</param>
/// <param name="State">As stored; null where it could not be read, or where there is none.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>: somebody leads or can lead. Otherwise why nobody does; the choice says it in
/// words.</param>
/// <param name="ETag">Of what is stored; null where it is not known.</param>
internal sealed record LeaderFinding(LeaderChoice Choice, PartitionState? State, ErrorCode Error, string? ETag = null)
{
    /// <summary>What is stored, for a claim that follows at once; null where it is not known.</summary>
    public StoredPartitionState? Stored => State is { } state && ETag is { } etag ? new StoredPartitionState(state, etag) : null;
}

/// <summary>
/// Finds out who leads a partition or is to lead it: reads the stored state, then asks the live brokers for their replicas. In that order:
/// who claims in place of that very state takes leadership from nobody who has begun to lead since, and who had begun before says so. Knows
/// nothing between two searches.
/// </summary>
internal sealed class LeaderSearch(IPartitionStates states, IBrokerPeers peers, TimeSpan answerTimeout, TimeProvider time, EngineLog log)
{
    /// <summary>How long the store may take: it answers in milliseconds, or not at all.</summary>
    public static readonly TimeSpan StoreTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Searches. Where the stored leader says that it leads, nobody waits for the others, one of which may not answer at
    /// all.</summary>
    public async Task<LeaderFinding> FindAsync(ReplicaKey key)
    {
        var (read, failure) = await ReadAsync(key).ConfigureAwait(false);
        using var timeout = new CancellationTokenSource(answerTimeout, time);
        var asked = Ask([key], timeout.Token);
        if (read?.State is { } stored && asked.TryGetValue(stored.Leader, out var answer)
            && await answer.ConfigureAwait(false) is [{ Role: ReplicaRole.Leader } led]
            && led.LeaderEpoch == stored.LeaderEpoch)
            return new LeaderFinding(new LeaderChoice(stored.Leader, Leads: true, []), stored, ErrorCode.None);
        var answers = await AnswersAsync(asked).ConfigureAwait(false);
        return Conclude(key, read, failure, broker => AnswerOf(answers, broker, 0));
    }

    /// <summary>Searches for many at once: each broker is asked once for all of them.</summary>
    /// <param name="keys">Which.</param>
    /// <param name="readsAtATime">States read at a time.</param>
    public async Task<IReadOnlyList<LeaderFinding>> FindAsync(IReadOnlyList<ReplicaKey> keys, int readsAtATime)
    {
        var read = new (StoredPartitionState? Stored, Exception? Failure)[keys.Count];
        await Parallel.ForAsync(0, keys.Count, new ParallelOptions { MaxDegreeOfParallelism = readsAtATime },
            async (i, _) => read[i] = await ReadAsync(keys[i]).ConfigureAwait(false)).ConfigureAwait(false);
        var answers = await AskAllAsync(keys).ConfigureAwait(false);
        return [.. keys.Select((key, i) => Conclude(key, read[i].Stored, read[i].Failure, broker => AnswerOf(answers, broker, i)))];
    }

    /// <summary>Those of the partitions that a live broker answers that it does not lead; none where it does not answer.</summary>
    public async Task<IReadOnlyList<ReplicaKey>> NotLedByAsync(int broker, IReadOnlyList<ReplicaKey> keys)
    {
        using var timeout = new CancellationTokenSource(answerTimeout, time);
        return await AskAsync(broker, keys, timeout.Token).ConfigureAwait(false) is { } reports
            ? [.. keys.Where((_, i) => reports[i] is not { Role: ReplicaRole.Leader or ReplicaRole.Claiming })]
            : [];
    }

    private LeaderFinding Conclude(ReplicaKey key, StoredPartitionState? stored, Exception? failure, Func<int, ReplicaAnswer> answerOf)
    {
        if (failure is not null)
        {
            // Leaders go on without the store, so they are found without it.
            var led = LeaderChoice.LedBy(peers.Live.Select(broker => answerOf(broker).Report).OfType<ReplicaReport>());
            return led is { } leader
                ? new LeaderFinding(new LeaderChoice(leader, Leads: true, []), null, ErrorCode.None)
                : Failed($"Nobody leads it, and its state cannot be read, so that nobody can begin to: {failure.Message} "
                    + "Bring the database back; then retry.");
        }
        if (stored?.State is not { } state)
        {
            return new LeaderFinding(
                LeaderChoice.None($"No topic has the id {key.TopicId} and a partition {key.Partition}: it was deleted. "
                + "Look the topic up again."), null, ErrorCode.UnknownTopicId);
        }
        var choice = LeaderChoice.Decide(state, IsAlive, peers.IsActive, answerOf);
        if (choice.Broker == LeaderChoice.Nobody && peers.FindConfig(key) is { UncleanLeaderElection: true })
            choice = LeaderChoice.DecideUnclean(choice, state, peers.IsActive, answerOf);
        return new LeaderFinding(choice, state, choice.Broker == LeaderChoice.Nobody ? ErrorCode.LeaderNotAvailable : ErrorCode.None,
            stored.ETag);

        static LeaderFinding Failed(string why) => new(LeaderChoice.None(why), null, ErrorCode.LeaderNotAvailable);
    }

    private bool IsAlive(int broker) => peers.Find(broker) is not null;

    private async Task<(StoredPartitionState? Stored, Exception? Failure)> ReadAsync(ReplicaKey key)
    {
        try
        {
            return (await states.ReadAsync(key).WaitAsync(StoreTimeout, time).ConfigureAwait(false), null);
        }
        catch (Exception failure) // Whatever a storage provider throws: the state is not known, and the finding says so.
        {
            log.Write(EngineLogLevel.Debug, $"The state of partition {key} could not be read.", failure);
            return (null, failure);
        }
    }

    private async Task<Dictionary<int, IReadOnlyList<ReplicaReport?>>> AskAllAsync(IReadOnlyList<ReplicaKey> keys)
    {
        using var timeout = new CancellationTokenSource(answerTimeout, time);
        return await AnswersAsync(Ask(keys, timeout.Token)).ConfigureAwait(false);
    }

    private Dictionary<int, Task<IReadOnlyList<ReplicaReport?>?>> Ask(IReadOnlyList<ReplicaKey> keys, CancellationToken timeout) =>
        peers.Live.ToDictionary(broker => broker, broker => AskAsync(broker, keys, timeout));

    private static async Task<Dictionary<int, IReadOnlyList<ReplicaReport?>>> AnswersAsync(
        Dictionary<int, Task<IReadOnlyList<ReplicaReport?>?>> asked)
    {
        var answers = new Dictionary<int, IReadOnlyList<ReplicaReport?>>();
        foreach (var (broker, answer) in asked)
        {
            if (await answer.ConfigureAwait(false) is { } reports)
                answers[broker] = reports;
        }
        return answers;
    }

    private async Task<IReadOnlyList<ReplicaReport?>?> AskAsync(int broker, IReadOnlyList<ReplicaKey> keys, CancellationToken timeout)
    {
        try
        {
            return await peers.ReportAsync(broker, keys, timeout).WaitAsync(timeout).ConfigureAwait(false);
        }
        catch (Exception failure) // Whatever the way to it throws: it did not answer, and is treated as one that did not.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} did not answer for its replicas.", failure);
            return null;
        }
    }

    private static ReplicaAnswer AnswerOf(Dictionary<int, IReadOnlyList<ReplicaReport?>> answers, int broker, int index) =>
        !answers.TryGetValue(broker, out var reports) ? ReplicaAnswer.Silent
        : reports[index] is { } report ? ReplicaAnswer.Of(report)
        : ReplicaAnswer.None;
}
