using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Connections.Loops;
using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Quotas;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 0: appends record batches. Versions below 3 are advertised, since some clients check the range, but are not
/// served.</summary>
internal sealed class ProduceApi() : KafkaApi<ProduceRequest>(ApiKey.Produce, 0, 13, flexibleFrom: 9)
{
    /// <summary>The most bytes that the batches of a request decompress to: 1 GiB, where the broker decompresses them. Clients limit a
    /// request by its uncompressed size, which is a hundredth of that.</summary>
    public const long MaxDecompressedBytes = 1L << 30;

    /// <inheritdoc/>
    public override short MinDecodedVersion => 3;

    /// <inheritdoc/>
    public override bool RunsAhead => true;

    /// <inheritdoc/>
    public override int MaxBytes => int.MaxValue;

    /// <inheritdoc/>
    /// <remarks>Not if records must be decompressed, since a small batch may hold large records.</remarks>
    public override bool IsQuick(GatewayServices services, object request)
    {
        foreach (var topic in ((ProduceRequest)request).Topics)
        {
            foreach (var partition in topic.Partitions)
            {
                if (IsCompressed(partition.Records.Span) && (RecordBatches.IsDense(RecordBatchHeader.Read(partition.Records.Span))
                    || services.Partitions.Decompresses(topic.Name, topic.TopicId, partition.Index)))
                    return false;
            }
        }
        return true;
    }

    protected override ProduceRequest Read(ref RequestReader reader, short version)
    {
        var transactionalId = reader.ReadNullableString();
        var acks = reader.ReadInt16();
        reader.ReadInt32(); // The timeout for replicas: the engine has its own.
        var topics = new ProduceTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var (name, id) = version >= 13 ? (null, reader.ReadUuid()) : (reader.ReadString(), Guid.Empty);
            var partitions = new ProducePartition[reader.ReadArrayLength(elementBytes: 6)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new ProducePartition(reader.ReadInt32(), reader.ReadNullableBytes() ?? default);
                reader.SkipTags();
            }
            topics[index] = new ProduceTopic(name, id, partitions);
            reader.SkipTags();
        }
        return new ProduceRequest(transactionalId, acks, topics);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ProduceRequest request, ResponseWriter response)
    {
        if (context.IsOverQuota)
            return RefuseAll(context, request, response);
        // All appends begin, in order, before the first await: this keeps the order of a producer's batches. Where some must wait, later
        // requests wait for this one.
        var transaction = ProduceTransaction.Find(context, request);
        var appends = new Append[request.Topics.Sum(static topic => topic.Partitions.Length)];
        var burst = context.Burst;
        DecompressionAllowance? allowance = null;
        var (begun, awaited) = (0, 0);
        var failed = false;
        try
        {
            foreach (var topic in request.Topics)
            {
                foreach (var partition in topic.Partitions)
                {
                    if (!context.Services.Partitions.TryFind(context.Access, AccessOperation.Write, topic.Name, topic.TopicId,
                        partition.Index, out var found))
                    {
                        context.HoldsBack = true;
                        // From here on this runs concurrently with the connection, which owns the burst.
                        burst = null;
                        found = await context.Services.Partitions.ActivateAsync(context.Access, AccessOperation.Write, topic.Name,
                            topic.TopicId, partition.Index, CancellationToken.None).ConfigureAwait(false);
                    }
                    if (allowance is null && IsCompressed(partition.Records.Span))
                        allowance = new DecompressionAllowance(MaxDecompressedBytes);
                    var refusal = Refuse(context.Version, request, transaction, found, partition.Records);
                    if (refusal is null && transaction is not null && transaction.MustAsk(found.Partition, partition.Records.Span))
                    {
                        context.HoldsBack = true;
                        transaction.Add(begun, found.Partition, partition.Records);
                        appends[begun] = new Append(default, found);
                    }
                    else
                    {
                        appends[begun] = new Append(Begin(request, found.Partition, refusal, partition.Records, burst, allowance), found);
                    }
                    begun++;
                }
            }
            if (transaction is { Waiting.Count: > 0 })
                await BeginWaitingAsync(request, transaction, appends, allowance).ConfigureAwait(false);
            while (awaited < begun)
            {
                var index = awaited++;
                appends[index].Result = await appends[index].Task;
                failed |= appends[index].Result.Error != ErrorCode.None;
            }
        }
        finally
        {
            // The frame, which is released when this has ended, is the memory that the log writes from.
            while (awaited < begun)
                await appends[awaited++].EndedAsync().ConfigureAwait(false);
        }
        if (request.Acks != 0)
        {
            Write(context, request, appends, response);
            return true;
        }
        response.ClosesConnection = failed;
        return false;
    }

    // ThrottlingQuotaExceeded says it better, but librdkafka gives up messages that are refused with it.
    private static bool RefuseAll(RequestContext context, ProduceRequest request, ResponseWriter response)
    {
        var appends = new Append[request.Topics.Sum(static topic => topic.Partitions.Length)];
        for (var index = 0; index < appends.Length; index++)
            appends[index].Result = ProduceResult.Failed(ErrorCode.NotEnoughReplicas,
                $"The quota {context.ThrottledBy.Name()} is used up: retry in {context.ThrottleTime.TotalSeconds:0.0} s.");
        if (request.Acks != 0)
        {
            Write(context, request, appends, response);
            return true;
        }
        response.ClosesConnection = true;
        return false;
    }

    private static CountedAppend Begin(ProduceRequest request, in OpenedPartition partition, in ProduceResult? refusal,
        Memory<byte> records, AppendBurst? burst, DecompressionAllowance? allowance, in VerifiedTransaction verified = default)
    {
        if (refusal is not { } refused)
            return partition.AppendAsync(records, (Acks)request.Acks, burst, allowance, verified);
        return partition.IsOpen ? partition.Refuse(refused) : CountedAppend.Uncounted(refused);
    }

    private static async ValueTask BeginWaitingAsync(ProduceRequest request, ProduceTransaction transaction, Append[] appends,
        DecompressionAllowance? allowance)
    {
        // Other connections wait for a loop's thread.
        await LoopExit.Now;
        var (refusal, verified) = await transaction.AskAsync().ConfigureAwait(false);
        foreach (var (index, partition, records) in transaction.Waiting)
            appends[index] = new Append(Begin(request, partition, refusal, records, null, allowance, verified), appends[index].Found);
    }

    private static ProduceResult? Refuse(short version, ProduceRequest request, ProduceTransaction? transaction, in LocatedPartition found,
        Memory<byte> records)
    {
        if (!found.Partition.IsOpen)
            return ProduceResult.Failed(found.Error, found.Message!);
        if (request.Acks is < -1 or > 1)
            return ProduceResult.Failed(ErrorCode.InvalidRequiredAcks, $"Acks is {request.Acks}; allowed are 0, 1 and -1 (all).");
        if (transaction?.Refusal is { } refusal)
            return refusal;
        if (records.IsEmpty)
            return ProduceResult.Failed(ErrorCode.InvalidRecord,
                $"There are no records for {found.Partition.TopicPartition}: send one batch.");
        // Consumers older than zstd could not read it (KIP-110).
        if (version < 7 && IsCompressed(records.Span) && CodecOf(records.Span) == (int)CompressionType.Zstd)
            return ProduceResult.Failed(ErrorCode.UnsupportedCompressionType,
                "zstd needs version 7 of Produce or higher: use a newer client.");
        return null;
    }

    private static bool IsCompressed(ReadOnlySpan<byte> batch) => batch.Length > RecordBatchHeader.Size && CodecOf(batch) != 0;

    private static int CodecOf(ReadOnlySpan<byte> batch) => BinaryPrimitives.ReadInt16BigEndian(batch[21..]) & 7;

    private static void Write(RequestContext context, ProduceRequest request, Append[] appends, ResponseWriter response)
    {
        var next = 0;
        response.WriteLength(request.Topics.Length);
        foreach (var topic in request.Topics)
        {
            if (context.Version >= 13)
                response.WriteUuid(topic.TopicId);
            else
                response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
                Write(response, partition.Index, appends[next++]);
            response.WriteNoTags();
        }
        response.WriteThrottle();
        if (context.Version >= 10)
            LeaderTags.WriteNodeEndpoints(response, tag: 0, context, appends.Select(static append => append.Redirect));
        else
            response.WriteNoTags();
    }

    private static void Write(ResponseWriter response, int index, in Append append)
    {
        var version = response.Version;
        var result = append.Result;
        response.WriteInt32(index);
        response.WriteError(TransactionErrors.OfAppend(result.Error, version));
        response.WriteInt64(result.BaseOffset);
        response.WriteInt64(result.LogAppendTime);
        if (version >= 5)
            response.WriteInt64(result.LogStartOffset);
        if (version >= 8)
        {
            WriteBadRecords(response, result.BadRecords ?? []);
            response.WriteString(result.Error == ErrorCode.None ? null : result.Message);
        }
        if (version >= 10 && append.Redirect >= 0)
        {
            response.WriteTagCount(1);
            LeaderTags.WriteCurrentLeader(response, tag: 0, append.Found.Leader, append.Found.LeaderEpoch);
        }
        else
        {
            response.WriteNoTags();
        }
    }

    // The error is the same for each record, and stated once for the batch.
    private static void WriteBadRecords(ResponseWriter response, IReadOnlyList<int> records)
    {
        response.WriteLength(records.Count);
        foreach (var record in records)
        {
            response.WriteInt32(record);
            response.WriteString(null);
            response.WriteNoTags();
        }
    }

    private struct Append(in CountedAppend task, in LocatedPartition found)
    {
        public readonly CountedAppend Task = task;
        public readonly LocatedPartition Found = found;
        public ProduceResult Result;

        /// <summary>Waits for the end of an append whose request has failed already; that fault is the one to report.</summary>
        public readonly async ValueTask EndedAsync()
        {
            try
            {
                await Task;
            }
            catch (Exception)
            {
                // The request's own fault is reported.
            }
        }

        /// <summary>The broker to redirect the client to; -1 for none.</summary>
        public readonly int Redirect => Result.Error == ErrorCode.NotLeaderOrFollower && !Found.Partition.IsOpen ? Found.Leader : -1;
    }
}

/// <summary>The body.</summary>
/// <param name="TransactionalId">Null outside transactions.</param>
/// <param name="Acks">0, 1 or -1.</param>
/// <param name="Topics">The batches, by topic and partition.</param>
internal sealed record ProduceRequest(string? TransactionalId, short Acks, ProduceTopic[] Topics)
{
    /// <summary>Whether a client may write any of the topics.</summary>
    public bool MayWriteAny(SessionAccess access, PartitionLocator partitions) => Topics.Any(topic =>
        (topic.Name ?? partitions.NameOf(topic.TopicId)) is { } name
            && access.Allows(AccessOperation.Write, ResourceType.Topic, name));
}

/// <summary>A topic by name, from version 13 on by id.</summary>
internal sealed record ProduceTopic(string? Name, Guid TopicId, ProducePartition[] Partitions);

/// <summary>One batch, as a slice of the frame.</summary>
internal readonly record struct ProducePartition(int Index, Memory<byte> Records);
