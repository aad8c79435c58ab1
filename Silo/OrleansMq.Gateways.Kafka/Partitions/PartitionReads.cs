using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Quotas;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>What a fetch found in one partition.</summary>
internal struct PartitionRead
{
    public LocatedPartition Found;
    public FetchResult? Fetched;

    /// <summary>Where the client's history parts from this log's (KIP-595); null where it does not.</summary>
    public LeaderEpochEntry? Diverging;

    /// <summary>The broker to go to instead; -1 for none.</summary>
    public readonly int Redirect => !Found.Partition.IsOpen && Found.Error == ErrorCode.NotLeaderOrFollower ? Found.Leader : -1;
}

/// <summary>One fetch over its partitions: reads them all, and again when something came, until there are enough bytes, no more fit, there
/// is an error, or no time left.</summary>
internal sealed class PartitionReads(RequestContext context, FetchApiRequest request) : IDisposable
{
    // Before, batches are looked at.
    private const short FirstWithZstd = 10;
    // Records that are looked at are in memory until the client has received them, however slow it is.
    private const int MaxBytesInMemory = 256 << 10;

    private readonly GatewayServices _services = context.Services;
    private readonly PartitionRead[] _reads = new PartitionRead[request.Topics.Sum(static topic => topic.Partitions.Length)];
    private readonly QuotaAccount? _quota = context.Access.Quotas?.Of(QuotaKey.ConsumerByteRate);
    private int _maxBytes = Math.Min(request.MaxBytes, context.Version < FirstWithZstd
        ? Math.Min(context.Services.Options.MaxFetchBytes, MaxBytesInMemory) : context.Services.Options.MaxFetchBytes);
    private long _bytes;
    private bool _isDecided;
    private bool _isOverQuota;

    /// <summary>The brokers that the client is sent to; -1 for none.</summary>
    public IEnumerable<int> Redirects => _reads.Select(static read => read.Redirect);

    /// <summary>What was found, in the order of the request. The records are the caller's to dispose from then on.</summary>
    public PartitionRead Take(int index)
    {
        var read = _reads[index];
        _reads[index].Fetched = null;
        if (read.Fetched is { } fetched && read.Found.Partition.IsOpen)
            read.Found.Partition.Delivered(fetched);
        return read;
    }

    /// <summary>Takes what was read from the client's quota. Where something is owed, nothing is taken: the answer is to have no
    /// records.</summary>
    public bool IsOverQuota()
    {
        if (_isOverQuota)
            return true;
        if (_quota is null || _bytes == 0)
            return false;
        var wait = _quota.ChargeUnlessOwed(_bytes);
        context.Throttle(QuotaKey.ConsumerByteRate, wait);
        return wait > TimeSpan.Zero;
    }

    /// <summary>Reads until there is an answer.</summary>
    public async ValueTask RunAsync()
    {
        if (_quota is not null)
        {
            var owed = _quota.Wait();
            context.Throttle(QuotaKey.ConsumerByteRate, owed);
            _isOverQuota = owed > TimeSpan.Zero;
            if (_isOverQuota)
                return;
            // Only the first batch may be larger than what is left.
            _maxBytes = (int)Math.Min(_maxBytes, Math.Max(_quota.Left, 1));
        }
        await LocateAsync().ConfigureAwait(false);
        ReadAll();
        if (IsEnough() || request.MaxWait <= TimeSpan.Zero)
            return;
        var maxWait = request.MaxWait < _services.Options.MaxFetchWait ? request.MaxWait : _services.Options.MaxFetchWait;
        var clock = _services.Options.TimeProvider;
        var began = clock.GetTimestamp();
        while (!IsEnough() && maxWait - clock.GetElapsedTime(began) is var left && left > TimeSpan.Zero
            && !context.Aborted.IsCancellationRequested)
            await WaitAsync(left).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var read in _reads)
            read.Fetched?.Dispose();
    }

    // A client may ask for a minimum above its maximum.
    private int MinBytes => Math.Min(request.MinBytes, Math.Max(_maxBytes, 1));

    private bool IsEnough() => _isDecided || _bytes >= MinBytes || (_bytes > 0 && IsCut());

    /// <summary>Whether a limit of the request keeps records back that could be read now: no wait makes them fit.</summary>
    private bool IsCut()
    {
        var next = 0;
        foreach (var topic in request.Topics)
        {
            foreach (var partition in topic.Partitions)
            {
                ref var read = ref _reads[next++];
                if (read.Found.Partition.IsOpen && read.Fetched is { Error: ErrorCode.None } fetched
                    && NextOffset(fetched, partition.Offset) < LimitOf(fetched))
                    return true;
            }
        }
        return false;
    }

    private long LimitOf(FetchResult fetched) =>
        request.Isolation == IsolationLevel.ReadCommitted ? fetched.LastStableOffset : fetched.HighWatermark;

    private static long NextOffset(FetchResult fetched, long offset)
    {
        if (fetched.Slice is { } slice)
            return slice.NextOffset;
        for (var rest = fetched.Records.Span; rest.Length > RecordBatchHeader.Size;)
        {
            var header = RecordBatchHeader.Read(rest);
            offset = header.NextOffset;
            rest = rest[Math.Min(header.SizeInBytes, rest.Length)..];
        }
        return offset;
    }

    private async ValueTask LocateAsync()
    {
        var next = 0;
        foreach (var topic in request.Topics)
        {
            foreach (var partition in topic.Partitions)
            {
                if (!_services.Partitions.TryFind(context.Access, AccessOperation.Read, topic.Name, topic.TopicId, partition.Index,
                    out var found))
                    found = await _services.Partitions.ActivateAsync(context.Access, AccessOperation.Read, topic.Name, topic.TopicId,
                        partition.Index, context.Aborted).ConfigureAwait(false);
                _reads[next++].Found = found;
            }
        }
    }

    private async ValueTask WaitAsync(TimeSpan time)
    {
        using var wait = new FetchWait();
        foreach (var read in _reads)
        {
            if (read.Found.Partition.IsOpen)
                read.Found.Partition.AddTo(wait);
        }
        ReadAll();
        if (IsEnough())
            return;
        _services.Deadlines.Add(wait, time);
        await using var aborted = context.Aborted.UnsafeRegister(static wait => ((FetchWait)wait!).Wake(), wait).ConfigureAwait(false);
        await wait.WaitAsync(Math.Max(MinBytes - _bytes, 1)).ConfigureAwait(false);
        ReadAll();
    }

    private void ReadAll()
    {
        _bytes = 0;
        var next = 0;
        foreach (var topic in request.Topics)
        {
            foreach (var partition in topic.Partitions)
            {
                ref var read = ref _reads[next++];
                read.Fetched?.Dispose();
                read.Fetched = Read(ref read, partition, (int)Math.Max(_maxBytes - _bytes, 0));
                _bytes += read.Fetched.Length;
                _isDecided |= read.Fetched.Error != ErrorCode.None || read.Diverging is not null;
            }
        }
    }

    private FetchResult Read(ref PartitionRead read, in FetchApiPartition wanted, int room)
    {
        if (!read.Found.Partition.IsOpen)
            return FetchResult.Failed(read.Found.Error, read.Found.Message!);
        var partition = read.Found.Partition;
        if (CheckEpoch(partition, wanted.CurrentLeaderEpoch) is not ErrorCode.None and var refused)
            return FetchResult.Failed(refused, "");
        read.Diverging = wanted.LastFetchedEpoch >= 0 ? FindDivergence(partition, wanted) : null;
        if (read.Diverging is not null || (room == 0 && _bytes > 0))
            return Nothing(partition);
        var fetched = ReadNow(partition, wanted.Offset, Math.Min(Math.Max(wanted.MaxBytes, 0), room));
        // The first batch comes even where it is larger than what was asked for, but only the first of all.
        if (fetched.Length > room && _bytes > 0)
        {
            fetched.Dispose();
            return Nothing(partition);
        }
        return context.Version < FirstWithZstd ? WithoutZstd(fetched) : fetched;
    }

    private FetchResult ReadNow(in OpenedPartition partition, long offset, int maxBytes)
    {
        var reading = partition.ReadAsync(new FetchRequest(partition.TopicPartition, offset, maxBytes, TimeSpan.Zero, 0, request.Isolation)
        {
            AllowsSlice = context.Version >= FirstWithZstd,
            NamesAborted = true,
        });
        // Without a wait it is done when it returns.
        return reading.IsCompletedSuccessfully ? reading.Result : reading.AsTask().GetAwaiter().GetResult();
    }

    /// <summary>Whether the client's view of the leader is the partition's (KIP-320).</summary>
    public static ErrorCode CheckEpoch(in OpenedPartition partition, int epoch) => partition.CheckEpoch(epoch);

    private static LeaderEpochEntry? FindDivergence(in OpenedPartition partition, in FetchApiPartition wanted)
    {
        var end = partition.EndOffsetOf(wanted.LastFetchedEpoch);
        return end.Epoch >= 0 && (end.Epoch < wanted.LastFetchedEpoch || end.StartOffset < wanted.Offset) ? end : null;
    }

    private static FetchResult Nothing(in OpenedPartition partition)
    {
        var highWatermark = partition.HighWatermark;
        return new(ErrorCode.None, highWatermark, Math.Min(partition.LastStableOffset, highWatermark), partition.LogStartOffset, default);
    }

    // Clients of before zstd cannot read it (KIP-110).
    private static FetchResult WithoutZstd(FetchResult fetched)
    {
        for (var rest = fetched.Records.Span; rest.Length > RecordBatchHeader.Size;)
        {
            var header = RecordBatchHeader.Read(rest);
            if (header.Compression == CompressionType.Zstd)
            {
                fetched.Dispose();
                return FetchResult.Failed(ErrorCode.UnsupportedCompressionType, "");
            }
            rest = rest[Math.Min(header.SizeInBytes, rest.Length)..];
        }
        return fetched;
    }
}
