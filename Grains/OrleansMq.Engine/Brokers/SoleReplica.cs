using OrleansMq.Api;
using OrleansMq.Partitions;

namespace OrleansMq.Brokers;

/// <summary>What follows from a partition having one replica only.</summary>
public static class SoleReplica
{
    /// <summary>Whether a batch cannot be acknowledged as <paramref name="acks"/> asks for, because its topic wants more replicas than
    /// there are.</summary>
    /// <param name="partition">Where the batch is to go.</param>
    /// <param name="acks">When the sender wants an answer.</param>
    /// <param name="refusal"><see cref="ErrorCode.NotEnoughReplicas"/>, and what to change.</param>
    public static bool Refuses(Partition partition, Acks acks, out ProduceResult refusal)
    {
        if (acks != Acks.All || partition.IsReplicated || partition.Config.MinInsyncReplicas <= 1)
        {
            refusal = default;
            return false;
        }
        refusal = ProduceResult.Failed(ErrorCode.NotEnoughReplicas,
            $"Partition {partition.TopicPartition} has 1 replica, its topic's 'min.insync.replicas' is "
                + $"{partition.Config.MinInsyncReplicas}: set that to 1, or send with acks=1.");
        return true;
    }
}
