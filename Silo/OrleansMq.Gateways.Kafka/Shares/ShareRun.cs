using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>One request of a share session: acknowledgements first, then records.</summary>
internal sealed class ShareRun(RequestContext context, string groupId, ShareSession<ShareReader> session)
{
    // So many bytes a record are allowed for before its size is known. Records above the limit of bytes would be released, and count as
    // delivered.
    private const int BytesOfRecord = 100_000;

    private readonly GatewayServices _services = context.Services;
    private readonly Dictionary<SharePartitionId, ShareResult> _results = [];
    private readonly Dictionary<SharePartitionId, OpenedPartition> _opened = [];
    private ShareCursorsResult? _cursors;

    /// <summary>The answers, in the order in which partitions came up.</summary>
    public IEnumerable<ShareResult> Results => _results.Values;

    /// <summary>How long a member holds a record.</summary>
    public TimeSpan LockDuration { get; private set; } = ShareGroupConfig.Default.LockDuration;

    /// <summary>Carries acknowledgements out; complete when they are in force.</summary>
    public async ValueTask AcknowledgeAsync(ShareTopic[] topics)
    {
        var running = new List<(ShareResult Result, Task<ErrorCode> Answer)>();
        foreach (var topic in topics)
        {
            foreach (var partition in topic.Partitions)
            {
                if (partition.Acknowledgements.Length == 0)
                    continue;
                var result = ResultOf(new SharePartitionId(topic.TopicId, partition.Index));
                result.IsNews = true;
                if (!TryRead(partition.Acknowledgements, out var acknowledgements))
                    result.AcknowledgeError = ErrorCode.InvalidRequest;
                else if (session.Find(result.Id) is { } reader)
                    running.Add((result, reader.AcknowledgeAsync(acknowledgements)));
                else
                    result.AcknowledgeError = ErrorCode.InvalidRecordState;
            }
        }
        foreach (var (result, answer) in running)
            result.AcknowledgeError = await answer.ConfigureAwait(false);
    }

    /// <summary>Fetches from all partitions of the session, and waits if there is nothing.</summary>
    public async ValueTask FetchAsync(ShareFetchRequest request)
    {
        var readers = await OpenAllAsync().ConfigureAwait(false);
        session.Rotate();
        var (records, bytes) = (Math.Max(request.MaxRecords, 1), Math.Max(Math.Min(request.MaxBytes, _services.Options.MaxFetchBytes), 1));
        foreach (var (id, reader) in readers)
        {
            if (records <= 0 || bytes <= 0)
                break;
            var most = Math.Clamp(bytes / BytesOfRecord, 1, records);
            await FinishAsync(id, reader, reader.Acquire(most), bytes).ConfigureAwait(false);
            var result = ResultOf(id);
            records -= (int)result.Acquired.Sum(static run => run.Last - run.First + 1);
            bytes -= result.Batches.Sum(static batch => batch.Length);
        }
        if (readers.Count > 0 && request.MaxWait > TimeSpan.Zero && !_results.Values.Any(static result => result.IsNews
            && result.AcknowledgeError == ErrorCode.None && (result.Error != ErrorCode.None || result.Acquired.Count > 0)))
            await WaitAsync(request, readers).ConfigureAwait(false);
        else if (readers.Count == 0 && !_results.Values.Any(static result => result.IsNews))
            await PauseAsync(request.MaxWait, Task.Delay(Timeout.Infinite, context.Aborted)).ConfigureAwait(false);
    }

    private async ValueTask WaitAsync(ShareFetchRequest request, List<(SharePartitionId Id, ShareReader Reader)> readers)
    {
        var most = Math.Clamp(Math.Min(request.MaxRecords, request.MaxBytes / BytesOfRecord) / readers.Count, 1, int.MaxValue);
        var waiting = readers.Take(Math.Max(request.MaxRecords, 1))
            .Select(one => (one.Id, one.Reader, Acquisition: one.Reader.Acquire(most))).ToList();
        await PauseAsync(request.MaxWait, Task.WhenAny(waiting.Select(static one => one.Acquisition.Arrived))).ConfigureAwait(false);
        foreach (var (id, reader, acquisition) in waiting)
            await FinishAsync(id, reader, acquisition, Math.Max(request.MaxBytes / waiting.Count, 1)).ConfigureAwait(false);
    }

    private async ValueTask PauseAsync(TimeSpan wait, Task until)
    {
        var longest = wait < _services.Options.MaxFetchWait ? wait : _services.Options.MaxFetchWait;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.Aborted);
        await Task.WhenAny(until, Task.Delay(longest, _services.Options.TimeProvider, over.Token)).ConfigureAwait(false);
        await over.CancelAsync().ConfigureAwait(false);
    }

    private async ValueTask FinishAsync(SharePartitionId id, ShareReader reader, ShareAcquisition acquisition, int maxBytes)
    {
        try
        {
            var records = await reader.FinishAsync(acquisition, maxBytes).ConfigureAwait(false);
            ResultOf(id).Add(records);
            foreach (var batch in records.Batches)
                _opened[id].Delivered(batch);
        }
        catch (BrokerException refused)
        {
            // It has ended, or the partition cannot be read: the next request opens another.
            session.Set(id, null);
            reader.Close();
            ResultOf(id).Fail(refused.Code, refused.Message);
        }
    }

    private async ValueTask<List<(SharePartitionId Id, ShareReader Reader)>> OpenAllAsync()
    {
        var readers = new List<(SharePartitionId, ShareReader)>();
        foreach (var id in session.Partitions)
        {
            if (!_services.Partitions.TryFind(context.Access, AccessOperation.Read, null, id.TopicId, id.Partition, out var found))
                found = await _services.Partitions.ActivateAsync(context.Access, AccessOperation.Read, null, id.TopicId, id.Partition,
                    context.Aborted).ConfigureAwait(false);
            if (!found.Partition.IsOpen)
            {
                var result = ResultOf(id);
                result.Fail(found.Error, found.Message);
                (result.Leader, result.LeaderEpoch) = (found.Leader, found.LeaderEpoch);
                session.Find(id)?.Close();
                session.Set(id, null);
                continue;
            }
            _opened[id] = found.Partition;
            if (session.Find(id) is not { } reader)
            {
                if (await OpenAsync(id, found.Partition).ConfigureAwait(false) is not { } opened)
                    continue;
                session.Set(id, reader = opened);
            }
            LockDuration = reader.LockDuration;
            readers.Add((id, reader));
        }
        return readers;
    }

    private async ValueTask<ShareReader?> OpenAsync(SharePartitionId id, OpenedPartition partition)
    {
        _cursors ??= await context.Broker.Groups.SendAsync(new FindShareCursors(groupId), context.Aborted).ConfigureAwait(false);
        if (_cursors.Error != ErrorCode.None || _cursors.Topics.FirstOrDefault(topic => topic.TopicId == id.TopicId) is not { } cursors)
        {
            ResultOf(id).Fail(ErrorCode.UnknownTopicOrPartition, _cursors.Message ?? "The group has not subscribed to the topic.");
            return null;
        }
        try
        {
            return await partition.OpenShareAsync(groupId, cursors, ShareGroupConfig.Of(_cursors.Configs)).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            // A leader that does not serve yet has no records yet.
            if (refused.Code != ErrorCode.LeaderNotAvailable)
                ResultOf(id).Fail(refused.Code, refused.Message);
            return null;
        }
    }

    private ShareResult ResultOf(SharePartitionId id)
    {
        if (!_results.TryGetValue(id, out var result))
            _results.Add(id, result = new ShareResult(id));
        return result;
    }

    /// <summary>Reads acknowledgements: one type for a whole range, or one for each offset.</summary>
    private static bool TryRead(AcknowledgementBatch[] batches, out List<ShareAcknowledgement> acknowledgements)
    {
        acknowledgements = [];
        foreach (var (first, last, types) in batches)
        {
            if (first < 0 || last < first || types.Length == 0 || (types.Length > 1 && types.Length != last - first + 1)
                || Array.Exists(types, static type => type is < (sbyte)ShareAcknowledgeType.Gap or > (sbyte)ShareAcknowledgeType.Renew))
                return false;
            if (types.Length == 1)
            {
                acknowledgements.Add(new ShareAcknowledgement(first, last, (ShareAcknowledgeType)types[0]));
                continue;
            }
            for (var at = 0; at < types.Length;)
            {
                var end = at + 1;
                while (end < types.Length && types[end] == types[at])
                    end++;
                acknowledgements.Add(new ShareAcknowledgement(first + at, first + end - 1, (ShareAcknowledgeType)types[at]));
                at = end;
            }
        }
        return true;
    }
}
