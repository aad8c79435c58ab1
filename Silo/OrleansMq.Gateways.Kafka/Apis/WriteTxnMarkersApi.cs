using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Producers;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 27: ends what producers have open in partitions that this broker leads, whatever their coordinators say. An operator's way:
/// it needs Alter on the cluster. Brokers do not send it.</summary>
internal sealed class WriteTxnMarkersApi() : KafkaApi<WriteTxnMarkersRequest>(ApiKey.WriteTxnMarkers, 1, 2, flexibleFrom: 1)
{
    // From this version of transactions on each marker raises the epoch (KIP-1228).
    private const sbyte RaisesEpochFrom = 2;

    // A partition refuses lower epochs from then on. The coordinator raises its own by doubling, up to 2^30, and must get above.
    private const int MaxCoordinatorEpoch = (1 << 30) - 1;

    // The appends that wait for their replicas: far more than fill the disks, and less than a request may name.
    private const int MaxAppendsAtOnce = 256;

    protected override WriteTxnMarkersRequest Read(ref RequestReader reader, short version)
    {
        var markers = new WrittenMarker[reader.ReadArrayLength(elementBytes: 17)];
        for (var index = 0; index < markers.Length; index++)
        {
            var producer = new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16());
            var isCommit = reader.ReadBool();
            var topics = new TransactionTopic[reader.ReadArrayLength(elementBytes: 3)];
            for (var other = 0; other < topics.Length; other++)
            {
                topics[other] = new TransactionTopic(reader.ReadString(), reader.ReadInt32Array());
                reader.SkipTags();
            }
            markers[index] = new WrittenMarker(producer, isCommit, topics, reader.ReadInt32(), version >= 2 && reader.ReadInt8() is
                >= RaisesEpochFrom);
            reader.SkipTags();
        }
        return new WriteTxnMarkersRequest(markers);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, WriteTxnMarkersRequest request, ResponseWriter response)
    {
        var errors = await AppendAllAsync(context, request).ConfigureAwait(false);
        var next = 0;
        response.WriteLength(request.Markers.Length);
        foreach (var marker in request.Markers)
        {
            response.WriteInt64(marker.Producer.ProducerId);
            response.WriteLength(marker.Topics.Length);
            foreach (var topic in marker.Topics)
            {
                response.WriteString(topic.Name);
                response.WriteLength(topic.Partitions.Length);
                foreach (var partition in topic.Partitions)
                {
                    response.WriteInt32(partition);
                    response.WriteError(errors[next++]);
                    response.WriteNoTags();
                }
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    // One error a partition, in the order of the request. Many begin before the first is awaited: each waits for the replicas.
    private static async ValueTask<List<ErrorCode>> AppendAllAsync(RequestContext context, WriteTxnMarkersRequest request)
    {
        var errors = new List<ErrorCode>();
        var appends = new Queue<ValueTask<ErrorCode>>();
        foreach (var marker in request.Markers)
        {
            foreach (var topic in marker.Topics)
            {
                foreach (var partition in topic.Partitions)
                {
                    if (appends.Count == MaxAppendsAtOnce)
                        errors.Add(await appends.Dequeue().ConfigureAwait(false));
                    appends.Enqueue(AppendAsync(context, marker, topic.Name, partition));
                }
            }
        }
        while (appends.TryDequeue(out var append))
            errors.Add(await append.ConfigureAwait(false));
        return errors;
    }

    private static async ValueTask<ErrorCode> AppendAsync(RequestContext context, WrittenMarker marker, string topic, int partition)
    {
        if (!context.Access.Authorizes(AccessOperation.Alter, ResourceType.Cluster))
            return ErrorCode.ClusterAuthorizationFailed;
        if (marker.CoordinatorEpoch is < 0 or > MaxCoordinatorEpoch)
            return ErrorCode.InvalidRequest;
        var partitions = context.Services.Partitions;
        if (!partitions.TryFind(context.Access, AccessOperation.Alter, topic, Guid.Empty, partition, out var found))
            found = await partitions.ActivateAsync(context.Access, AccessOperation.Alter, topic, Guid.Empty, partition, context.Aborted)
                .ConfigureAwait(false);
        if (!found.Partition.IsOpen)
            return found.Error;
        var end = new TransactionMarker(marker.IsCommit, marker.CoordinatorEpoch);
        var written = await found.Partition.AppendMarkerAsync(marker.Producer.ProducerId, marker.Producer.ProducerEpoch, end,
            marker.RaisesEpoch).ConfigureAwait(false);
        return written.Error;
    }
}

/// <summary>The body.</summary>
internal sealed record WriteTxnMarkersRequest(WrittenMarker[] Markers);

/// <summary>The end of one producer's transaction.</summary>
internal sealed record WrittenMarker(ProducerIdentity Producer, bool IsCommit, TransactionTopic[] Topics, int CoordinatorEpoch,
    bool RaisesEpoch);
