using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Transactions;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 28: commits a group's offsets within a transaction. The transaction's coordinator is asked first: whether the group is in
/// it, or from version 5 on to add it (KIP-890).</summary>
internal sealed class TxnOffsetCommitApi() : KafkaApi<TxnOffsetCommitRequest>(ApiKey.TxnOffsetCommit, 0, 5, flexibleFrom: 3)
{
    private const short RaisesEpochFrom = 5;

    protected override TxnOffsetCommitRequest Read(ref RequestReader reader, short version)
    {
        var transactionalId = reader.ReadString();
        var groupId = reader.ReadString();
        var producer = new ProducerIdentity(reader.ReadInt64(), reader.ReadInt16());
        // A producer that knows no member passes in every version.
        var (generation, memberId, instanceId) = version >= 3
            ? (reader.ReadInt32(), reader.ReadString(), reader.ReadNullableString()) : (-1, "", null);
        var topics = new OffsetCommitTopic[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < topics.Length; index++)
        {
            var name = reader.ReadString();
            var partitions = new OffsetCommitPartition[reader.ReadArrayLength(elementBytes: 13)];
            for (var other = 0; other < partitions.Length; other++)
            {
                partitions[other] = new OffsetCommitPartition(reader.ReadInt32(), reader.ReadInt64(),
                    version >= 2 ? reader.ReadInt32() : -1, reader.ReadNullableString());
                reader.SkipTags();
            }
            topics[index] = new OffsetCommitTopic(name, Guid.Empty, partitions);
            reader.SkipTags();
        }
        return new TxnOffsetCommitRequest(transactionalId, producer,
            new OffsetCommitRequest(groupId, generation, memberId, instanceId, topics));
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, TxnOffsetCommitRequest request, ResponseWriter response)
    {
        var errors = await CommitAsync(context, request).ConfigureAwait(false);
        var next = 0;
        response.WriteThrottle();
        response.WriteLength(request.Commit.Topics.Length);
        foreach (var topic in request.Commit.Topics)
        {
            response.WriteString(topic.Name);
            response.WriteLength(topic.Partitions.Length);
            foreach (var partition in topic.Partitions)
            {
                response.WriteInt32(partition.Index);
                response.WriteError(TransactionErrors.OfOffsetCommit(errors[next++], context.Version));
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    // One error a partition, in the order of the request.
    private static async ValueTask<ErrorCode[]> CommitAsync(RequestContext context, TxnOffsetCommitRequest request)
    {
        var offsets = (from topic in request.Commit.Topics
                       from partition in topic.Partitions
                       select new PartitionOffset(topic.Name, partition.Index,
                           new CommittedOffset(partition.Offset, partition.LeaderEpoch, partition.Metadata ?? ""))).ToArray();
        var errors = new ErrorCode[offsets.Length];
        var refused = !context.Access.Authorizes(AccessOperation.Write, ResourceType.TransactionalId, request.TransactionalId)
            ? ErrorCode.TransactionalIdAuthorizationFailed
            : !context.Access.Authorizes(AccessOperation.Read, ResourceType.Group, request.Commit.GroupId)
            ? ErrorCode.GroupAuthorizationFailed : ErrorCode.None;
        if (refused != ErrorCode.None)
        {
            Array.Fill(errors, refused);
            return errors;
        }
        var mayRead = request.Commit.Topics.Select(static topic => topic.Name!).Distinct()
            .Where(topic => context.Access.Authorizes(AccessOperation.Read, ResourceType.Topic, topic)).ToHashSet();
        for (var index = 0; index < errors.Length; index++)
            errors[index] = mayRead.Contains(offsets[index].Topic!) ? ErrorCode.None : ErrorCode.TopicAuthorizationFailed;
        var allowed = offsets.Where((_, index) => errors[index] == ErrorCode.None).ToArray();
        if (allowed.Length == 0)
            return errors;
        var committed = await CommitAsync(context, request, allowed).ConfigureAwait(false);
        for (int index = 0, next = 0; index < errors.Length; index++)
        {
            if (errors[index] == ErrorCode.None)
                errors[index] = committed.Partitions[next++].Error;
        }
        return errors;
    }

    private static async ValueTask<OffsetCommitResult> CommitAsync(RequestContext context, TxnOffsetCommitRequest request,
        PartitionOffset[] offsets)
    {
        var commit = new TransactionOffsetCommit
        {
            GroupId = request.Commit.GroupId,
            TransactionalId = request.TransactionalId,
            Producer = request.Producer,
            Number = 0,
            GenerationIdOrMemberEpoch = request.Commit.GenerationIdOrMemberEpoch,
            MemberId = request.Commit.MemberId,
            GroupInstanceId = request.Commit.GroupInstanceId,
            Offsets = offsets,
        };
        if (GroupId.FindProblem(commit.GroupId) is { } problem)
            return Refuse(commit, ErrorCode.InvalidGroupId, problem);
        var added = await context.AskAsync(new AddToTransaction
        {
            TransactionalId = request.TransactionalId,
            Producer = request.Producer,
            Groups = [commit.GroupId],
            VerifyOnly = context.Version < RaisesEpochFrom,
            RaisesEpoch = context.Version >= RaisesEpochFrom,
            Caller = context.NextCaller(),
        }, context.Aborted).ConfigureAwait(false);
        return added.Error != ErrorCode.None ? Refuse(commit, added.Error, added.Message ?? "")
            : await context.Broker.Groups.SendAsync(commit with { Number = added.Number }, context.Aborted).ConfigureAwait(false);
    }

    private static OffsetCommitResult Refuse(IGroupRequest<OffsetCommitResult> commit, ErrorCode error, string message) =>
        commit.Answer(commit.Refuse(error, message));
}

/// <summary>The body: the transaction, and the commit as outside of one.</summary>
internal sealed record TxnOffsetCommitRequest(string TransactionalId, ProducerIdentity Producer, OffsetCommitRequest Commit);
