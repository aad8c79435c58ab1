using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>One request of a share session: acknowledgements first, then records.</summary>
internal sealed class ShareRun(RequestContext context, string groupId, ShareSession<ShareReader> session)
{
    // Partitions that take longer to open are left to later requests; others are fetched meanwhile.
    private static readonly TimeSpan OpeningPatience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PatienceWithReaders = TimeSpan.FromMilliseconds(200);

    private readonly GatewayServices _services = context.Services;
    private readonly Dictionary<SharePartitionId, ShareResult> _results = [];
    private readonly Dictionary<SharePartitionId, OpenedPartition> _opened = [];
    private readonly Lock _lock = new();
    private Task<ShareCursorsResult>? _cursors;
    private TimeSpan? _lockDuration;

    /// <summary>The answers, in the order in which partitions came up.</summary>
    public IEnumerable<ShareResult> Results => _results.Values;

    /// <summary>How long a member holds a record.</summary>
    public TimeSpan LockDuration => _lockDuration ?? ShareGroupConfig.Default.LockDuration;

    /// <summary>Answers for partitions that the session does not take: they are not known, and too many.</summary>
    public void Refuse(IEnumerable<SharePartitionId> unknown)
    {
        foreach (var id in unknown)
            ResultOf(id).Fail(ErrorCode.UnknownTopicId,
                "There is no such partition, and the connection has fetched from too many of these.");
    }

    /// <summary>Carries acknowledgements out; complete when they are in force.</summary>
    public async ValueTask AcknowledgeAsync(ShareTopic[] topics)
    {
        if (session.FindAny() is { } any)
            NoteLockDuration(any);
        var running = new List<(ShareResult Result, Task<ErrorCode> Answer)>();
        foreach (var topic in topics)
        {
            foreach (var partition in topic.Partitions)
            {
                if (partition.Acknowledgements.Length == 0)
                    continue;
                var result = ResultOf(new SharePartitionId(topic.TopicId, partition.Index));
                result.IsNews = true;
                if (!ShareRequests.AreValid(partition.Acknowledgements, context.Version))
                    result.AcknowledgeError = ErrorCode.InvalidRequest;
                else if (IsElsewhere(result.Id, out var located))
                    result.Refuse(located);
                else if (session.Find(result.Id) is { } reader)
                    running.Add((result, reader.AcknowledgeAsync(ShareRequests.RangesOf(partition.Acknowledgements))));
                else
                    result.AcknowledgeError = ErrorCode.InvalidRecordState;
            }
        }
        foreach (var (result, answer) in running)
            result.AcknowledgeError = await answer.ConfigureAwait(false);
        foreach (var reader in session.TakeLeft(static reader => !reader.MayHold))
            reader.Close();
    }

    /// <summary>Fetches from all partitions of the session, and waits if there is nothing.</summary>
    public async ValueTask FetchAsync(ShareFetchRequest request)
    {
        // A client that only acknowledges.
        if (request.MaxRecords <= 0)
            return;
        if (request.MaxBytes <= 0)
        {
            await PauseAsync(request.MaxWait, Task.Delay(Timeout.Infinite, context.Aborted)).ConfigureAwait(false);
            return;
        }
        var readers = await OpenAllAsync().ConfigureAwait(false);
        session.Rotate();
        var (records, bytes) = (request.MaxRecords, Math.Min(request.MaxBytes, _services.Options.MaxFetchBytes));
        foreach (var (id, reader) in readers)
        {
            if (records <= 0 || bytes <= 0)
                break;
            await FinishAsync(id, reader, reader.Acquire(reader.Fitting(bytes, records)), bytes, request.IsStrict).ConfigureAwait(false);
            var result = ResultOf(id);
            records -= (int)result.Acquired.Sum(static run => run.Last - run.First + 1);
            bytes -= result.Batches.Sum(static batch => batch.Length);
        }
        if (readers.Count > 0 && request.MaxWait > TimeSpan.Zero && !_results.Values.Any(static result =>
            result.Error != ErrorCode.None || result.Acquired.Count > 0))
            await WaitAsync(request, readers).ConfigureAwait(false);
        else if (readers.Count == 0 && !_results.Values.Any(static result => result.IsNews))
            await PauseAsync(request.MaxWait, Task.Delay(Timeout.Infinite, context.Aborted)).ConfigureAwait(false);
    }

    private async ValueTask WaitAsync(ShareFetchRequest request, List<(SharePartitionId Id, ShareReader Reader)> readers)
    {
        var (records, bytes) = (Math.Max(request.MaxRecords / readers.Count, 1), Math.Max(request.MaxBytes / readers.Count, 1));
        var waiting = readers.Take(request.MaxRecords)
            .Select(one => (one.Id, one.Reader, Acquisition: one.Reader.Acquire(one.Reader.Fitting(bytes, records)))).ToList();
        await PauseAsync(request.MaxWait, Task.WhenAny(waiting.Select(static one => one.Acquisition.Arrived))).ConfigureAwait(false);
        foreach (var (id, reader, acquisition) in waiting)
            await FinishAsync(id, reader, acquisition, bytes, request.IsStrict).ConfigureAwait(false);
    }

    private async ValueTask PauseAsync(TimeSpan wait, Task until)
    {
        var longest = wait < _services.Options.MaxFetchWait ? wait : _services.Options.MaxFetchWait;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.Aborted);
        await Task.WhenAny(until, Task.Delay(longest, _services.Options.TimeProvider, over.Token)).ConfigureAwait(false);
        await over.CancelAsync().ConfigureAwait(false);
    }

    private async ValueTask FinishAsync(SharePartitionId id, ShareReader reader, ShareAcquisition acquisition, int maxBytes,
        bool isStrict)
    {
        try
        {
            var records = await reader.FinishAsync(acquisition, maxBytes, isStrict).ConfigureAwait(false);
            ResultOf(id).Add(records);
            foreach (var batch in records.Batches)
                _opened[id].Delivered(batch);
        }
        catch (BrokerException refused)
        {
            // It has ended, or the partition cannot be read: the next request opens another.
            session.Take(id)?.Close();
            ResultOf(id).Fail(refused.Code, refused.Message);
        }
    }

    private bool IsElsewhere(SharePartitionId id, out LocatedPartition found) => _services.Partitions.TryFind(context.Access,
        AccessOperation.Read, null, id.TopicId, id.Partition, out found) && !found.Partition.IsOpen;

    private async ValueTask<List<(SharePartitionId Id, ShareReader Reader)>> OpenAllAsync()
    {
        var readers = new List<(SharePartitionId, ShareReader)>();
        var openings = new List<(SharePartitionId Id, Task<Opening> Task)>();
        var config = _services.Shares.Configs.Find(groupId, () => AskAsync(CancellationToken.None));
        foreach (var id in session.Partitions)
        {
            var isFound = _services.Partitions.TryFind(context.Access, AccessOperation.Read, null, id.TopicId, id.Partition, out var found);
            if (isFound && !found.Partition.IsOpen)
                Refuse(id, found);
            else if (isFound && session.Find(id) is { } reader)
            {
                if (config is null || reader.IsConfigured(config) || !session.TryBeginOpening(id))
                    Add(readers, id, found.Partition, reader);
                else
                    openings.Add((id, ConfigureAsync(id, found, reader, config)));
            }
            else if (session.TryBeginOpening(id))
                openings.Add((id, OpenAsync(id, isFound ? found : null)));
        }
        if (openings.Count > 0)
            await FinishAsync(openings, readers).ConfigureAwait(false);
        ForgetRefused();
        return readers;
    }

    private async ValueTask FinishAsync(List<(SharePartitionId Id, Task<Opening> Task)> openings,
        List<(SharePartitionId, ShareReader)> readers)
    {
        await PauseAsync(readers.Count == 0 ? OpeningPatience : PatienceWithReaders,
            Task.WhenAll(openings.Select(static opening => opening.Task))).ConfigureAwait(false);
        context.Aborted.ThrowIfCancellationRequested();
        foreach (var (id, task) in openings)
        {
            session.Defer(id);
            if (!task.IsCompleted)
                continue;
            var opening = await task.ConfigureAwait(false);
            if (!opening.Found.Partition.IsOpen)
                Refuse(id, opening.Found);
            else if (opening.Error != ErrorCode.None)
                ResultOf(id).Fail(opening.Error, opening.Message);
            else if (opening.Reader is { } reader)
                Add(readers, id, opening.Found.Partition, reader);
        }
    }

    private void Add(List<(SharePartitionId, ShareReader)> readers, SharePartitionId id, OpenedPartition partition, ShareReader reader)
    {
        _opened[id] = partition;
        NoteLockDuration(reader);
        readers.Add((id, reader));
    }

    // An answer has one for all partitions: no lock ends before its member expects that.
    private void NoteLockDuration(ShareReader reader) =>
        _lockDuration = _lockDuration < reader.LockDuration ? _lockDuration : reader.LockDuration;

    private void Refuse(SharePartitionId id, in LocatedPartition found)
    {
        ResultOf(id).Fail(found);
        session.Take(id)?.Close();
    }

    // It may end after the request: then a later one finds the reader in the session.
    private async Task<Opening> OpenAsync(SharePartitionId id, LocatedPartition? known)
    {
        try
        {
            var found = known ?? await _services.Partitions.ActivateAsync(context.Access, AccessOperation.Read, null, id.TopicId,
                id.Partition, context.Aborted).ConfigureAwait(false);
            return found.Partition.IsOpen ? await OpenReaderAsync(id, found).ConfigureAwait(false) : new Opening(found);
        }
        finally
        {
            session.EndOpening(id);
        }
    }

    // It may end after the request, as an opening may.
    private async Task<Opening> ConfigureAsync(SharePartitionId id, LocatedPartition found, ShareReader reader, ShareGroupConfig config)
    {
        try
        {
            await reader.ConfigureAsync(config).ConfigureAwait(false);
            return new Opening(found) { Reader = reader };
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.LeaderNotAvailable)
        {
            // Its replicas do not answer: a later request repeats it.
            return new Opening(found) { Reader = reader };
        }
        catch (BrokerException refused)
        {
            session.Take(id)?.Close();
            return RefusalOf(found, refused);
        }
        finally
        {
            session.EndOpening(id);
        }
    }

    private Opening RefusalOf(LocatedPartition found, BrokerException refused)
    {
        // Clients take it for a passing error, and ask again.
        if (refused.Code is ErrorCode.PolicyViolation or ErrorCode.InvalidRequest)
            _services.Shares.NotServed.Write(EngineLogLevel.Warning, $"Share group '{groupId}' is not served: {refused.Message}");
        // A leader that does not serve yet has no records yet.
        return refused.Code == ErrorCode.LeaderNotAvailable || ShareResult.IsPassing(refused.Code) ? new Opening(found)
            : new Opening(found) { Error = refused.Code, Message = refused.Message };
    }

    private async Task<Opening> OpenReaderAsync(SharePartitionId id, LocatedPartition found)
    {
        if (session.Find(id) is { } known)
            return new Opening(found) { Reader = known };
        try
        {
            var all = await CursorsAsync().ConfigureAwait(false);
            // A coordinator that does not answer now says nothing of the topic: with an error, clients would forget its id and leader.
            if (ShareResult.IsPassing(all.Error))
                return new Opening(found);
            if (all.Error != ErrorCode.None || all.Topics.FirstOrDefault(topic => topic.TopicId == id.TopicId) is not { } cursors)
                return new Opening(found)
                {
                    Error = ErrorCode.UnknownTopicOrPartition,
                    Message = all.Message ?? "The group has not subscribed to the topic.",
                };
            var reader = await found.Partition.OpenShareAsync(groupId, cursors, ShareGroupConfig.Of(all.Configs)).ConfigureAwait(false);
            if (session.TrySet(id, reader))
                return new Opening(found) { Reader = reader };
            reader.Close();
            return new Opening(found);
        }
        catch (BrokerException refused)
        {
            return RefusalOf(found, refused);
        }
    }

    // Asked once a request, whatever the number of partitions.
    private Task<ShareCursorsResult> CursorsAsync()
    {
        lock (_lock)
            return _cursors ??= AskAndLearnAsync();
    }

    private async Task<ShareCursorsResult> AskAndLearnAsync()
    {
        var askedAt = _services.Options.TimeProvider.GetTimestamp();
        var found = await AskAsync(context.Aborted).ConfigureAwait(false);
        _services.Shares.Configs.Learn(groupId, found, askedAt);
        return found;
    }

    private Task<ShareCursorsResult> AskAsync(CancellationToken cancellationToken) =>
        context.Broker.Groups.SendAsync(new FindShareCursors(groupId), cancellationToken).AsTask();

    private void ForgetRefused()
    {
        var refused = session.Partitions.Where(id => _results.TryGetValue(id, out var result) && result.Error
            is ErrorCode.UnknownTopicId or ErrorCode.UnknownTopicOrPartition or ErrorCode.TopicAuthorizationFailed);
        foreach (var id in refused.Skip(ShareSession<ShareReader>.MostRefused).ToArray())
            session.Forget(id);
    }

    private ShareResult ResultOf(SharePartitionId id)
    {
        if (!_results.TryGetValue(id, out var result))
            _results.Add(id, result = new ShareResult(id));
        return result;
    }

    // What became of a partition that had no reader.
    private sealed record Opening(LocatedPartition Found)
    {
        public ShareReader? Reader { get; init; }
        public ErrorCode Error { get; init; }
        public string? Message { get; init; }
    }
}
