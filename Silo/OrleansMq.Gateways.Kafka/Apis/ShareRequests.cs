using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Shares;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>What a member says of records that it was given: one type for all of them, or one each.</summary>
/// <param name="First">The first record.</param>
/// <param name="Last">The last one.</param>
/// <param name="Types">Numbers of <see cref="ShareAcknowledgeType"/>.</param>
internal sealed record AcknowledgementBatch(long First, long Last, sbyte[] Types);

/// <summary>A partition of a share session, and what the member says of its records.</summary>
internal sealed record SharePartition(int Index, AcknowledgementBatch[] Acknowledgements);

/// <summary>A topic of a share session.</summary>
internal sealed record ShareTopic(Guid TopicId, SharePartition[] Partitions);

/// <summary>What ShareFetch and ShareAcknowledge have in common.</summary>
internal static class ShareRequests
{
    /// <summary>Reads the topics with their acknowledgements.</summary>
    public static ShareTopic[] ReadTopics(ref RequestReader reader)
    {
        var topics = new ShareTopic[reader.ReadArrayLength(elementBytes: 18)];
        for (var index = 0; index < topics.Length; index++)
        {
            var id = reader.ReadUuid();
            var partitions = new SharePartition[reader.ReadArrayLength(elementBytes: 6)];
            for (var next = 0; next < partitions.Length; next++)
            {
                partitions[next] = new SharePartition(reader.ReadInt32(), ReadBatches(ref reader));
                reader.SkipTags();
            }
            reader.SkipTags();
            topics[index] = new ShareTopic(id, partitions);
        }
        return topics;
    }

    /// <summary>Whether acknowledgements have the protocol's form: ascending ranges, with one type for all of a range, or one for each
    /// offset.</summary>
    public static bool AreValid(AcknowledgementBatch[] batches, short version)
    {
        var last = version >= 2 ? ShareAcknowledgeType.Renew : ShareAcknowledgeType.Reject;
        var next = 0L;
        foreach (var batch in batches)
        {
            if (batch.First < next || batch.Last < batch.First || batch.Last == long.MaxValue || batch.Types.Length == 0
                || (batch.Types.Length > 1 && batch.Types.Length != batch.Last - batch.First + 1)
                || Array.Exists(batch.Types, type => type < (sbyte)ShareAcknowledgeType.Gap || type > (sbyte)last))
                return false;
            next = batch.Last + 1;
        }
        return true;
    }

    /// <summary>Returns the ranges of one type each.</summary>
    public static IEnumerable<ShareAcknowledgement> RangesOf(AcknowledgementBatch[] batches)
    {
        foreach (var (first, last, types) in batches)
        {
            if (types.Length == 1)
                yield return new ShareAcknowledgement(first, last, (ShareAcknowledgeType)types[0]);
            for (var at = 0; types.Length > 1 && at < types.Length;)
            {
                var end = at + 1;
                while (end < types.Length && types[end] == types[at])
                    end++;
                yield return new ShareAcknowledgement(first + at, first + end - 1, (ShareAcknowledgeType)types[at]);
                at = end;
            }
        }
    }

    /// <summary>Writes a partition's <c>CurrentLeader</c>; -1 for none.</summary>
    public static void WriteLeader(ResponseWriter response, int leader, int epoch)
    {
        response.WriteInt32(leader);
        response.WriteInt32(epoch);
        response.WriteNoTags();
    }

    /// <summary>Writes the response's <c>NodeEndpoints</c>: those of the leaders that were named, -1 for none.</summary>
    public static void WriteNodeEndpoints(ResponseWriter response, RequestContext context, IEnumerable<int> leaders)
    {
        var endpoints = leaders.Where(static leader => leader >= 0).Distinct()
            .Select(leader => context.Services.Endpoints.Find(leader, context.Connection)).OfType<BrokerEndpoint>().ToArray();
        response.WriteLength(endpoints.Length);
        foreach (var endpoint in endpoints)
        {
            response.WriteInt32(endpoint.BrokerId);
            response.WriteString(endpoint.Host);
            response.WriteInt32(endpoint.Port);
            response.WriteString(endpoint.Rack);
            response.WriteNoTags();
        }
    }

    private static AcknowledgementBatch[] ReadBatches(ref RequestReader reader)
    {
        var batches = new AcknowledgementBatch[reader.ReadArrayLength(elementBytes: 18)];
        for (var index = 0; index < batches.Length; index++)
        {
            var (first, last) = (reader.ReadInt64(), reader.ReadInt64());
            var types = new sbyte[reader.ReadArrayLength()];
            for (var next = 0; next < types.Length; next++)
                types[next] = reader.ReadInt8();
            reader.SkipTags();
            batches[index] = new AcknowledgementBatch(first, last, types);
        }
        return batches;
    }
}
