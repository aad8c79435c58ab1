using OrleansMq.Diagnostics;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Partitions;

/// <summary>What placement and leadership need to know of the cluster's brokers. Thread safe.</summary>
internal interface IBrokerPeers
{
    /// <summary>Whether partitions are replicated. If not, this broker is the only one and leads all of them.</summary>
    bool IsReplicated { get; }

    /// <summary>This broker.</summary>
    int Self { get; }

    /// <summary>The brokers that are not declared dead, including this one.</summary>
    IReadOnlyCollection<int> Live { get; }

    /// <summary>Raised when a broker joined or was declared dead.</summary>
    event Action Changed;

    /// <summary>Finds a live broker's silo; null for a broker that is not alive.</summary>
    SiloAddress? Find(int broker);

    /// <summary>Whether a broker may get new work: it is alive and not stopping.</summary>
    bool IsActive(int broker);

    /// <summary>The broker that would lead a partition by the latest metadata, which may be old; <see cref="LeaderChoice.Nobody"/> before
    /// there are any, null if they do not tell.</summary>
    int? FindExpectedLeader(ReplicaKey key) => null;

    /// <summary>Finds the topic's configuration; null if this broker does not know it.</summary>
    TopicConfig? FindConfig(ReplicaKey key);

    /// <summary>Asks a live broker for its replicas of these partitions, in their order; null for each that it does not have.</summary>
    /// <exception cref="Exception">No answer.</exception>
    Task<IReadOnlyList<ReplicaReport?>> ReportAsync(int broker, IReadOnlyList<ReplicaKey> keys, CancellationToken cancellationToken);
}

/// <summary>The result of a search for a partition's leader.</summary>
/// <param name="Choice">The current or chosen leader.</param>
/// <param name="State">The stored state; null if it could not be read or does not exist.</param>
/// <param name="Error"><see cref="ErrorCode.None"/> if a broker leads or can lead. Otherwise why none does; the choice has the reason in
/// words.</param>
/// <param name="ETag">The ETag of the stored state; null if not known.</param>
internal sealed record LeaderFinding(LeaderChoice Choice, PartitionState? State, ErrorCode Error, string? ETag = null)
{
    /// <summary>The stored state, for a claim that follows at once; null if not known.</summary>
    public StoredPartitionState? Stored => State is { } state && ETag is { } etag ? new StoredPartitionState(state, etag) : null;
}

/// <summary>
/// Finds a partition's current or future leader. It reads the stored state, then asks the live brokers for their replicas. The order makes
/// a claim safe: a claim that replaces exactly this state cannot displace a leader that claimed later, and an earlier leader reports
/// itself. Stateless between searches.
/// </summary>
internal sealed class LeaderSearch(IPartitionStates states, IBrokerPeers peers, TimeSpan answerTimeout, TimeProvider time, EngineLog log)
{
    /// <summary>The timeout for reading the store, which answers within milliseconds or not at all.</summary>
    public static readonly TimeSpan StoreTimeout = TimeSpan.FromSeconds(2);

    /// <summary>Searches. If the stored leader confirms that it leads, the search does not wait for the other brokers.</summary>
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

    /// <summary>Searches for many partitions at once, with one request to each broker.</summary>
    /// <param name="keys">The partitions.</param>
    /// <param name="readsAtATime">The number of concurrent reads of the store.</param>
    public async Task<IReadOnlyList<LeaderFinding>> FindAsync(IReadOnlyList<ReplicaKey> keys, int readsAtATime)
    {
        var read = new (StoredPartitionState? Stored, Exception? Failure)[keys.Count];
        await Parallel.ForAsync(0, keys.Count, new ParallelOptions { MaxDegreeOfParallelism = readsAtATime },
            async (i, _) => read[i] = await ReadAsync(keys[i]).ConfigureAwait(false)).ConfigureAwait(false);
        var answers = await AskAllAsync(keys).ConfigureAwait(false);
        return [.. keys.Select((key, i) => Conclude(key, read[i].Stored, read[i].Failure, broker => AnswerOf(answers, broker, i)))];
    }

    /// <summary>Finds those of the partitions that a live broker says it does not lead; none if it does not answer.</summary>
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
            // Leaders go on without the store, so they are found without it too.
            var led = LeaderChoice.LedBy(peers.Live.Select(broker => answerOf(broker).Report).OfType<ReplicaReport>());
            return led is { } leader
                ? new LeaderFinding(new LeaderChoice(leader, Leads: true, []), null, ErrorCode.None)
                : Failed($"It has no leader, and none can be elected, since its state cannot be read: {failure.Message} "
                    + "Bring the database back; then retry.");
        }
        if (stored?.State is not { } state)
        {
            return new LeaderFinding(
                LeaderChoice.None($"No topic with id {key.TopicId} has a partition {key.Partition}: it was deleted. "
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
        catch (Exception failure) // The storage provider may throw anything: the state is unknown, and the finding says so.
        {
            log.Write(EngineLogLevel.Debug, $"Could not read the state of partition {key}.", failure);
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
        catch (Exception failure) // Any exception on the way counts as no answer.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} did not report its replicas.", failure);
            return null;
        }
    }

    private static ReplicaAnswer AnswerOf(Dictionary<int, IReadOnlyList<ReplicaReport?>> answers, int broker, int index) =>
        !answers.TryGetValue(broker, out var reports) ? ReplicaAnswer.Silent
        : reports[index] is { } report ? ReplicaAnswer.Of(report)
        : ReplicaAnswer.None;
}
