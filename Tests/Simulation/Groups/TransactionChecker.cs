using OrleansMq.Api;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>
/// Checks the offsets of transactions, all for one topic, against the requests that arrived, the stored documents and the answers. The
/// metadata of each commit is unique, so that a stored offset identifies its commit.
/// <list type="bullet">
/// <item>No offset takes effect whose transaction was not committed. Where one is, all of its offsets do, in one write, or a later commit
/// or a delete has replaced them.</item>
/// <item>Of a partition's offsets the one that arrived later prevails, whichever takes effect first.</item>
/// <item>The end of a transaction is stored before it is answered. From then on no offset of it is pending.</item>
/// <item>No commit of an open transaction is refused for good.</item>
/// <item>A stable fetch answers no partition that has an acknowledged offset of an open transaction, and every other one.</item>
/// <item>In the end nothing is pending.</item>
/// </list>
/// </summary>
internal sealed class TransactionChecker(GroupSimulation simulation)
{
    private sealed record Write(long Producer, long Number, int Partition, int First)
    {
        /// <summary>The last time that it arrived.</summary>
        public int Last { get; set; } = First;
        /// <summary>When its producer heard that it is stored; null: it has not.</summary>
        public int? Acknowledged { get; set; }
    }

    private const long Outside = -1;

    private readonly Dictionary<(string Words, int Partition), Write> _writes = [];
    private readonly Dictionary<(long Producer, long Number), bool> _decided = [];
    // The last transaction whose end was answered.
    private readonly Dictionary<long, long> _ended = [];
    private readonly Dictionary<int, int> _lastDelete = [];
    private int _lastGroupDelete;
    private int _arrivals;

    public void OnArrived(IGroupRequest request)
    {
        switch (request)
        {
            case TransactionOffsetCommit commit:
                OnArrived(commit.Offsets, commit.Producer.ProducerId, commit.Number);
                break;
            case OffsetCommit commit:
                OnArrived(commit.Offsets, Outside, 0);
                break;
            case OffsetDelete delete:
                _arrivals++;
                foreach (var partition in delete.Partitions.Where(partition => partition.Topic == GroupSimulation.LedgerName))
                    _lastDelete[partition.Partition] = _arrivals;
                break;
            case DeleteGroup:
                _lastGroupDelete = ++_arrivals;
                break;
        }
    }

    private void OnArrived(IEnumerable<PartitionOffset> offsets, long producer, long number)
    {
        _arrivals++;
        foreach (var offset in offsets.Where(offset => simulation.IsLedger(offset.TopicId)))
        {
            var key = (offset.Offset.Metadata, offset.Partition);
            if (_writes.TryGetValue(key, out var known))
                known.Last = _arrivals;
            else
                _writes.Add(key, new Write(producer, number, offset.Partition, _arrivals));
        }
    }

    /// <summary>A producer hears that its commit is stored.</summary>
    public void OnAcknowledged(TransactionOffsetCommit commit)
    {
        foreach (var offset in commit.Offsets)
            _writes[(offset.Offset.Metadata, offset.Partition)].Acknowledged ??= _arrivals;
    }

    public void OnDecided(long producer, long number, bool isCommit) => _decided.Add((producer, number), isCommit);

    /// <summary>A write was stored.</summary>
    public void OnStored(GroupOffsetsDocument? before, GroupOffsetsDocument? after)
    {
        var (old, now) = (Read(before), Read(after));
        foreach (var (partition, words) in now)
        {
            if (old.GetValueOrDefault(partition) != words)
                OnEffective(partition, words, old.GetValueOrDefault(partition));
        }
        foreach (var partition in old.Keys.Except(now.Keys))
            Verdict.Require(LastDelete(partition) > 0, $"transactions: {partition} had {old[partition]} and has none, without a request");
        foreach (var pending in after?.Pending ?? [])
            Verdict.Require(pending.Number > _ended.GetValueOrDefault(pending.ProducerId),
                $"transactions: p{pending.ProducerId}#{pending.Number} is pending after the end of "
                + $"{_ended.GetValueOrDefault(pending.ProducerId)}");
        foreach (var fence in after?.Fences ?? [])
        {
            var last = before?.Fences?.FirstOrDefault(other => other.ProducerId == fence.ProducerId)?.Number ?? 0;
            Verdict.Require(fence.Number >= last, $"transactions: p{fence.ProducerId}#{last} had ended, and {fence.Number} is the last");
            if (fence.Number > last)
                OnEnded(fence.ProducerId, fence.Number, now);
        }
    }

    private void OnEffective(int partition, string words, string? replaced)
    {
        Verdict.Require(_writes.TryGetValue((words, partition), out var write),
            $"transactions: {words} is stored for {partition}, which was never committed");
        Verdict.Require(write!.Producer == Outside || (_decided.TryGetValue((write.Producer, write.Number), out var isCommit) && isCommit),
            $"transactions: {words} takes effect for {partition}, whose transaction is not committed");
        Verdict.Require(replaced is null || write.Last > _writes[(replaced, partition)].First,
            $"transactions: {words} replaces {replaced} for {partition}, which came after it");
    }

    private void OnEnded(long producer, long number, Dictionary<int, string> now)
    {
        Verdict.Require(_decided.TryGetValue((producer, number), out var isCommit),
            $"transactions: p{producer}#{number} ends without a decision");
        simulation.Figures.Transactions++;
        if (!isCommit)
            return;
        foreach (var write in _writes.Values.Where(write => write.Producer == producer && write.Number == number
            && write.Acknowledged is not null))
        {
            var stored = now.TryGetValue(write.Partition, out var words) ? _writes[(words, write.Partition)].Last : -1;
            Verdict.Require(stored >= write.First || LastDelete(write.Partition) > write.First,
                $"transactions: p{producer}#{number} is committed, and {write.Partition} has {words ?? "none"}");
        }
    }

    /// <summary>A coordinator answers.</summary>
    /// <param name="request">The request.</param>
    /// <param name="answer">The answer.</param>
    /// <param name="stored">The stored offsets.</param>
    /// <returns>Whether the request is one of transactions alone.</returns>
    public bool OnAnswered(IGroupRequest request, object answer, GroupOffsetsDocument? stored)
    {
        switch (request)
        {
            case TransactionOffsetCommit commit:
                OnAnswered(commit, ((OffsetCommitResult)answer).Partitions);
                return true;
            case EndTransactionOffsets end:
                OnAnswered(end, ((GroupReply)answer).Error, stored);
                return true;
            default:
                return request is OffsetFetch { RequireStable: true };
        }
    }

    private void OnAnswered(TransactionOffsetCommit commit, IReadOnlyList<PartitionError> answers)
    {
        var isOpen = !_decided.ContainsKey((commit.Producer.ProducerId, commit.Number));
        foreach (var answer in answers)
        {
            Verdict.Require(!isOpen || answer.Error is not (ErrorCode.TransactionAbortable or ErrorCode.InvalidProducerEpoch
                or ErrorCode.ConcurrentTransactions or ErrorCode.UnknownMemberId or ErrorCode.InvalidRequest),
                $"transactions: a commit of p{commit.Producer.ProducerId}#{commit.Number}, which is open, is refused with {answer.Error}");
        }
        if (!isOpen && answers.Any(static answer => answer.Error is ErrorCode.TransactionAbortable or ErrorCode.InvalidProducerEpoch))
            simulation.Figures.LateCommits++;
    }

    private void OnAnswered(EndTransactionOffsets end, ErrorCode error, GroupOffsetsDocument? stored)
    {
        Verdict.Require(error is ErrorCode.None or ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable
            or ErrorCode.CoordinatorLoadInProgress,
            $"transactions: the end of p{end.Producer.ProducerId}#{end.Number} is refused: {error}");
        if (error != ErrorCode.None)
            return;
        var last = stored?.Fences?.FirstOrDefault(fence => fence.ProducerId == end.Producer.ProducerId)?.Number ?? 0;
        Verdict.Require(last >= end.Number,
            $"stored before revealed: the end of p{end.Producer.ProducerId}#{end.Number} is answered, and {last} is stored");
        _ended[end.Producer.ProducerId] = Math.Max(_ended.GetValueOrDefault(end.Producer.ProducerId), end.Number);
    }

    /// <summary>What is known before a fetch, for <see cref="OnFetched"/>.</summary>
    public (int Arrivals, Dictionary<long, long> Ended) BeginFetch() => (_arrivals, new(_ended));

    /// <summary>A stable fetch is answered.</summary>
    /// <param name="began">What was known before it.</param>
    /// <param name="result">The answer.</param>
    public void OnFetched((int Arrivals, Dictionary<long, long> Ended) began, OffsetFetchResult result)
    {
        if (result.Error != ErrorCode.None)
            return;
        foreach (var found in result.Partitions)
        {
            var partition = found.Partition.Partition;
            var writes = _writes.Values.Where(write => write.Partition == partition && write.Producer != Outside);
            if (found.Error == ErrorCode.UnstableOffsetCommit)
            {
                simulation.Figures.Unstable++;
                Verdict.Require(writes.Any(write => write.Number > began.Ended.GetValueOrDefault(write.Producer)),
                    $"transactions: {partition} is unstable without a transaction");
                continue;
            }
            var open = writes.FirstOrDefault(write => write.Acknowledged <= began.Arrivals
                && !_decided.ContainsKey((write.Producer, write.Number)) && !IsReplaced(write));
            Verdict.Require(open is null,
                $"transactions: a stable fetch of {partition} is answered {found.Offset}, and p{open?.Producer}#{open?.Number} is open");
        }
    }

    // What arrived after it was perhaps not accepted; then it is pending still, which is no wrong answer either.
    private bool IsReplaced(Write write) => LastDelete(write.Partition) > write.First || _writes.Values.Any(other =>
        other.Partition == write.Partition && other != write && other.Last > write.First
        && !(other.Producer == write.Producer && other.Number == write.Number));

    /// <summary>Describes what is left at the end; null for nothing.</summary>
    public static string? FindUnsettled(GroupOffsetsDocument? stored) =>
        stored?.Pending is [{ } pending, ..] ? $"p{pending.ProducerId}#{pending.Number} is pending" : null;

    private int LastDelete(int partition) => Math.Max(_lastGroupDelete, _lastDelete.GetValueOrDefault(partition));

    private Dictionary<int, string> Read(GroupOffsetsDocument? document) =>
        (document?.Topics ?? []).Where(topic => simulation.IsLedger(topic.TopicId)).SelectMany(static topic => topic.Partitions)
            .ToDictionary(static offset => offset.Partition, static offset => offset.Metadata ?? "");
}
