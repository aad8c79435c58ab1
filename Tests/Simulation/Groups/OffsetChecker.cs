using OrleansMq.Api;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>
/// Checks committed offsets against the commits that arrived, the stored documents and the answers. The metadata of each commit is unique,
/// so that a stored offset identifies its commit.
/// <list type="bullet">
/// <item>The stored commit of a partition arrived at the coordinator that stored it, and not before the commit that it replaces.</item>
/// <item>An acknowledged commit, or a later one, is stored; so is a commit revealed by a fetch. Only a delete removes it.</item>
/// <item>After a commit whose acknowledgement arrived, an acknowledged delete, or a fetch, no fetch reveals an older state. What has no
/// answer may take effect later, or never.</item>
/// <item>A commit is acknowledged only to a member of the generation or epoch that its coordinator had stored, and never after a later one
/// was revealed.</item>
/// <item>Where a member's requests keep their order, only a reset moves an offset below an acknowledged or revealed one.</item>
/// </list>
/// </summary>
/// <param name="isOrdered">Whether a member's requests keep their order.</param>
/// <param name="isGone">Whether a topic is deleted.</param>
/// <param name="isLedger">Whether a topic is that of transactions, which <see cref="TransactionChecker"/> checks.</param>
internal sealed class OffsetChecker(bool isOrdered, Func<Guid, bool> isGone, Func<Guid, bool> isLedger)
{
    private sealed class History
    {
        /// <summary>All stored commits, oldest first.</summary>
        public List<Entry> Stored { get; } = [new(null, 0, By: -1, Since: 0)];
        /// <summary>The last of them that was revealed.</summary>
        public int Known { get; set; }

        public int LastIndexOf(string? words) => Stored.FindLastIndex(s => s.Words == words);
    }

    /// <summary>A stored commit.</summary>
    /// <param name="Words">Its metadata; null: none, or deleted.</param>
    /// <param name="Offset">Its offset.</param>
    /// <param name="By">The coordinator that stored it.</param>
    /// <param name="Since">The number of the last request that had arrived anywhere.</param>
    private readonly record struct Entry(string? Words, long Offset, int By, int Since);

    private readonly record struct Arrival(int Number, long Offset, bool IsReset);

    private readonly Dictionary<TopicIdPartition, History> _histories = [];
    // The first and last arrival, by coordinator and commit.
    private readonly Dictionary<(int Coordinator, TopicIdPartition Partition, string Words), (Arrival First, Arrival Last)> _came = [];
    // Which coordinator stored a partition's latest commit, and when it had arrived there.
    private readonly Dictionary<TopicIdPartition, int> _storedBy = [];
    private readonly Dictionary<int, HashSet<TopicIdPartition>> _deletes = [];
    private readonly HashSet<int> _groupDeletes = [];
    // The position in the history of each acknowledged commit whose member has not heard so.
    private readonly Dictionary<(TopicIdPartition Partition, string Words), int> _acknowledged = [];

    /// <summary>The number of the last commit or delete that arrived.</summary>
    public int Arrivals { get; private set; }

    public void OnCommitArrived(int coordinator, OffsetCommit commit)
    {
        Arrivals++;
        foreach (var offset in commit.Offsets)
        {
            var key = (coordinator, new TopicIdPartition(offset.TopicId, offset.Partition), offset.Offset.Metadata);
            var arrival = new Arrival(Arrivals, offset.Offset.Offset, commit.MemberId.Length == 0);
            _came[key] = _came.TryGetValue(key, out var before) ? (before.First, arrival) : (arrival, arrival);
        }
    }

    /// <summary>An operator's request to delete offsets arrives at a coordinator.</summary>
    public void OnDeleteArrived(int coordinator, IEnumerable<TopicIdPartition> partitions)
    {
        Arrivals++;
        if (!_deletes.TryGetValue(coordinator, out var deletes))
            _deletes.Add(coordinator, deletes = []);
        deletes.UnionWith(partitions);
    }

    /// <summary>An operator's request to delete the group arrives at a coordinator.</summary>
    public void OnGroupDeleteArrived(int coordinator) => _groupDeletes.Add(coordinator);

    /// <summary>A write was stored.</summary>
    /// <param name="coordinator">The coordinator that wrote.</param>
    /// <param name="before">The former document.</param>
    /// <param name="after">The stored document.</param>
    /// <param name="isDeleted">Whether the group is deleted.</param>
    public void OnStored(int coordinator, GroupOffsetsDocument? before, GroupOffsetsDocument? after, bool isDeleted)
    {
        var (old, now) = (Read(before), Read(after));
        foreach (var (partition, offset) in now)
        {
            if (!old.TryGetValue(partition, out var previous) || previous.Metadata != offset.Metadata)
                OnStored(coordinator, partition, offset);
        }
        foreach (var partition in old.Keys.Where(p => !now.ContainsKey(p)))
        {
            Verdict.Require(isDeleted || isGone(partition.TopicId)
                || (_deletes.TryGetValue(coordinator, out var deletes) && deletes.Contains(partition)),
                $"offsets: {partition} had {old[partition]} and has none, without a request");
            HistoryOf(partition).Stored.Add(new(null, 0, coordinator, Arrivals));
            _storedBy.Remove(partition);
        }
    }

    private void OnStored(int coordinator, TopicIdPartition partition, StoredOffset offset)
    {
        var words = offset.Metadata ?? "";
        Verdict.Require(_came.TryGetValue((coordinator, partition, words), out var came),
            $"offsets: coordinator {coordinator} stores {words} for {partition}, which was never committed there");
        Verdict.Require(came.Last.Offset == offset.Offset,
            $"offsets: coordinator {coordinator} stores {offset.Offset} for {partition}, and {words} was {came.Last.Offset}");
        var history = HistoryOf(partition);
        var (latest, value, _, _) = history.Stored[^1];
        if (_storedBy.TryGetValue(partition, out var by) && by == coordinator
            && _came.TryGetValue((coordinator, partition, latest!), out var replaced))
            Verdict.Require(came.Last.Number > replaced.First.Number,
                $"offsets: {words} replaces {latest} for {partition}, which came after it");
        history.Stored.Add(new(words, offset.Offset, coordinator, Arrivals));
        _storedBy[partition] = coordinator;
        if (isOrdered && !came.Last.IsReset && history.Known == history.Stored.Count - 2)
            Verdict.Require(offset.Offset >= value, $"offsets: {partition} went back from {value} ({latest}), which was revealed, "
                + $"to {offset.Offset} ({words}) without a reset");
    }

    /// <summary>A commit is acknowledged: it is stored, or was stored and has been replaced.</summary>
    public void OnAcknowledged(int coordinator, PartitionOffset commit)
    {
        if (isLedger(commit.TopicId))
            return;
        var partition = new TopicIdPartition(commit.TopicId, commit.Partition);
        var history = HistoryOf(partition);
        var index = history.LastIndexOf(commit.Offset.Metadata);
        if (index < 0)
        {
            if (MayVanish(coordinator, partition))
                return;
            // A later one replaced it in the same write.
            var mine = _came[(coordinator, partition, commit.Offset.Metadata)].First;
            index = history.Stored.FindLastIndex(stored => stored.Words is { } words
                && _came.TryGetValue((coordinator, partition, words), out var other)
                && other.Last.Number >= mine.Number);
            Verdict.Require(index >= 0,
                $"offsets: {commit.Offset.Metadata} is acknowledged for {partition} and not stored; that is {history.Stored[^1]}");
        }
        _acknowledged[(partition, commit.Offset.Metadata)] = index;
    }

    /// <summary>The acknowledgement of a commit arrives. Until then its outcome is unclear to the member: it may have fetched the offset
    /// before the commit was stored, and continue from there.</summary>
    public void OnAcknowledgementArrived(PartitionOffset commit)
    {
        var partition = new TopicIdPartition(commit.TopicId, commit.Partition);
        if (_acknowledged.Remove((partition, commit.Offset.Metadata), out var index))
            HistoryOf(partition).Known = Math.Max(HistoryOf(partition).Known, index);
    }

    /// <summary>A delete is acknowledged: what its coordinator stored since it arrived contains it.</summary>
    /// <param name="coordinator">The coordinator.</param>
    /// <param name="arrival">The value of <see cref="Arrivals"/> when the request arrived.</param>
    /// <param name="partitions">The partitions; null: all of the group.</param>
    public void OnDeleteAcknowledged(int coordinator, int arrival, IEnumerable<TopicIdPartition>? partitions)
    {
        foreach (var partition in partitions ?? [.. _histories.Keys])
        {
            var history = HistoryOf(partition);
            var index = history.Stored.FindIndex(stored => stored.By == coordinator && stored.Since >= arrival
                && (stored.Words is null || _came[(coordinator, partition, stored.Words)].First.Number > arrival));
            history.Known = Math.Max(history.Known, index);
        }
    }

    /// <summary>How much of a partition's history has been revealed.</summary>
    public int KnownOf(TopicIdPartition partition) => HistoryOf(partition).Known;

    /// <summary>A fetch is answered with a present or former stored offset, or with a commit that vanished before it could be
    /// stored.</summary>
    public void OnAnswered(int coordinator, TopicIdPartition partition, CommittedOffset? offset) =>
        Verdict.Require(IndexOf(partition, offset?.Metadata) >= 0
            || (MayVanish(coordinator, partition) && _came.ContainsKey((coordinator, partition, offset!.Metadata))),
            $"stored before revealed: a fetch of {partition} is answered {offset}, which was never stored");

    // The write that would have stored a commit already contains the deletion of its topic or group, or an operator's delete.
    private bool MayVanish(int coordinator, TopicIdPartition partition) => isGone(partition.TopicId)
        || _groupDeletes.Contains(coordinator)
        || (_deletes.TryGetValue(coordinator, out var deletes) && deletes.Contains(partition));

    /// <summary>A member learns where to continue: at no older commit than one known when it asked.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="offset">The answer.</param>
    /// <param name="known">The value of <see cref="KnownOf"/> when it asked.</param>
    public void OnFetched(TopicIdPartition partition, CommittedOffset? offset, int known)
    {
        var history = HistoryOf(partition);
        var index = IndexOf(partition, offset?.Metadata);
        Verdict.Require(index >= known || isGone(partition.TopicId),
            $"offsets: a fetch of {partition} is answered {offset?.ToString() ?? "nothing"}, "
            + $"after the reveal of {history.Stored[known]}");
        history.Known = Math.Max(history.Known, index);
    }

    /// <summary>Returns the position of a commit in the history. A commit that was replaced before it was stored has the position of its
    /// replacement.</summary>
    private int IndexOf(TopicIdPartition partition, string? words)
    {
        var history = HistoryOf(partition);
        var index = history.LastIndexOf(words);
        if (index >= 0 || words is null)
            return index;
        foreach (var ((coordinator, _, _), mine) in _came.Where(came => came.Key.Partition == partition && came.Key.Words == words))
            index = Math.Max(index, history.Stored.FindLastIndex(stored => stored.Words is { } other
                && _came.TryGetValue((coordinator, partition, other), out var later)
                && later.Last.Number >= mine.First.Number));
        return index;
    }

    private History HistoryOf(TopicIdPartition partition)
    {
        if (!_histories.TryGetValue(partition, out var history))
            _histories.Add(partition, history = new History());
        return history;
    }

    private Dictionary<TopicIdPartition, StoredOffset> Read(GroupOffsetsDocument? document)
    {
        var offsets = new Dictionary<TopicIdPartition, StoredOffset>();
        if (document is null)
            return offsets;
        foreach (var topic in document.Topics.Where(topic => !isLedger(topic.TopicId)))
        {
            foreach (var offset in topic.Partitions)
                offsets.Add(new TopicIdPartition(topic.TopicId, offset.Partition), offset);
        }
        return offsets;
    }
}
