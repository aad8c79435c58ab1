using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 43: elects preferred leaders or, from version 1 on, any remaining replica, with data loss (KIP-460).</summary>
internal sealed class ElectLeadersApi() : KafkaApi<ElectLeadersRequest>(ApiKey.ElectLeaders, 0, 2, flexibleFrom: 2)
{
    private const sbyte Preferred = 0, Unclean = 1;

    protected override ElectLeadersRequest Read(ref RequestReader reader, short version)
    {
        var type = version >= 1 ? reader.ReadInt8() : Preferred;
        var count = reader.ReadNullableArrayLength(elementBytes: 3);
        var partitions = count < 0 ? null : new List<TopicPartition>();
        for (; count > 0; count--)
        {
            var name = reader.ReadString();
            partitions!.AddRange(reader.ReadInt32Array().Select(number => new TopicPartition(name, number)));
            reader.SkipTags();
        }
        reader.ReadInt32(); // The timeout.
        return new ElectLeadersRequest(type, partitions);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ElectLeadersRequest request, ResponseWriter response)
    {
        var (error, elections) = await ElectAsync(context, request).ConfigureAwait(false);
        var topics = elections.GroupBy(static election => election.Topic).ToArray();
        response.WriteThrottle();
        if (context.Version >= 1)
            response.WriteError(error);
        response.WriteLength(topics.Length);
        foreach (var topic in topics)
        {
            response.WriteString(topic.Key);
            response.WriteLength(topic.Count());
            foreach (var election in topic)
            {
                response.WriteInt32(election.Partition);
                response.WriteError(election.Error);
                response.WriteString(election.Message);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, IReadOnlyList<LeaderElection> Elections)> ElectAsync(RequestContext context,
        ElectLeadersRequest request)
    {
        if (!context.Access.Authorizes(AccessOperation.Alter, ResourceType.Cluster))
            return (ErrorCode.ClusterAuthorizationFailed, RefuseEach(context, request.Partitions ?? []));
        if (request.Type is not (Preferred or Unclean))
            return (ErrorCode.InvalidRequest, []);
        try
        {
            if (request.Partitions is null)
                return (ErrorCode.None, await ElectAllAsync(context, request.Type).ConfigureAwait(false));
            return (ErrorCode.None, await ElectEachAsync(context, request.Type, request.Partitions).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, []);
        }
    }

    // Version 0 has no error of the whole request.
    private static LeaderElection[] RefuseEach(RequestContext context, IReadOnlyList<TopicPartition> partitions) =>
        [.. partitions.Select(partition => new LeaderElection(partition.Topic, partition.Partition, -1,
            ErrorCode.ClusterAuthorizationFailed, context.Access.RefusalOf(AccessOperation.Alter, ResourceType.Cluster)))];

    /// <summary>Elects leaders of all partitions. The answer omits partitions that need no election.</summary>
    private static async ValueTask<IReadOnlyList<LeaderElection>> ElectAllAsync(RequestContext context, sbyte type)
    {
        TopicPartition[] needy = [.. context.Services.Metadata.Image.AllPartitions()
            .Where(entry => entry.Number < entry.Topic.Serving && NeedsElection(entry.Partition, type))
            .Select(static entry => new TopicPartition(entry.Topic.Name, entry.Number))];
        if (type == Unclean)
            return await ElectEachAsync(context, type, needy).ConfigureAwait(false);
        return needy.Length == 0
            ? [] : await context.Broker.Administration.ElectPreferredLeadersAsync(
                cancellationToken: context.Aborted).ConfigureAwait(false);
    }

    private static async ValueTask<IReadOnlyList<LeaderElection>> ElectEachAsync(RequestContext context, sbyte type,
        IReadOnlyList<TopicPartition> partitions)
    {
        var administration = context.Broker.Administration;
        var elections = new List<LeaderElection>();
        foreach (var partition in partitions)
        {
            if (Find(context.Services, partition) is not { } found)
            {
                elections.Add(new LeaderElection(partition.Topic, partition.Partition, -1, ErrorCode.UnknownTopicOrPartition,
                    TopicCatalogue.UnknownTopic(partition.Topic)));
                continue;
            }
            if (!NeedsElection(found, type))
            {
                elections.Add(new LeaderElection(partition.Topic, partition.Partition, found.Leader, ErrorCode.ElectionNotNeeded,
                    $"Broker {found.Leader} leads {partition}{(type == Preferred ? ", and is the preferred one" : "")}: no election is "
                    + "needed."));
                continue;
            }
            try
            {
                if (type == Unclean)
                    elections.Add(await administration.ElectUncleanAsync(partition,
                        cancellationToken: context.Aborted).ConfigureAwait(false));
                else
                    elections.AddRange(await administration.ElectPreferredLeadersAsync(partition.Topic, partition.Partition,
                        context.Aborted).ConfigureAwait(false));
            }
            catch (BrokerException refused)
            {
                elections.Add(new LeaderElection(partition.Topic, partition.Partition, -1, refused.Code, refused.Message));
            }
        }
        return elections;
    }

    private static ImagePartition? Find(GatewayServices services, TopicPartition partition) =>
        services.Metadata.Image.FindServed(partition.Topic) is { } topic && (uint)partition.Partition < (uint)topic.Serving
        ? topic.Partitions[partition.Partition] : null;

    private static bool NeedsElection(ImagePartition partition, sbyte type) =>
        partition.Leader < 0 || (type == Preferred && partition.Leader != partition.Replicas[0]);
}

/// <summary>The body; null for all partitions.</summary>
internal sealed record ElectLeadersRequest(sbyte Type, IReadOnlyList<TopicPartition>? Partitions);
