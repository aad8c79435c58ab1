using System.Diagnostics;
using OrleansMq.Tests.Benchmarks.Amqp;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>The queue of a load over AMQP.</summary>
internal static class AmqpQueues
{
    private static readonly TimeSpan ReplicaPatience = TimeSpan.FromMinutes(1);

    /// <summary>Declares a durable queue, and waits until all its replicas take part.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="quorum">Whether it is a quorum queue, or a classic one.</param>
    /// <param name="nodes">The nodes of the broker, with a replica each.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <returns>HOST:PORT of the node that leads it.</returns>
    /// <exception cref="PeerFailedException">The broker refused the queue, or a replica is missing.</exception>
    public static async Task<string> DeclareAsync(RunningBroker broker, string queue, bool quorum, int nodes,
        CancellationToken cancellationToken)
    {
        try
        {
            using var client = AmqpClient.Connect(broker.Endpoint);
            client.DeclareQueue(queue, quorum ? "quorum" : "classic");
        }
        catch (InvalidOperationException refused)
        {
            throw new PeerFailedException($"The queue is not declared: {refused.Message}");
        }
        if (nodes == 1)
            return broker.Endpoint;
        for (var started = Stopwatch.GetTimestamp(); ;)
        {
            var place = await broker.FindQueueAsync(queue, cancellationToken);
            if (place is { Leader: { } leader } && place.Replicas == nodes)
                return leader;
            if (Stopwatch.GetElapsedTime(started) > ReplicaPatience)
                throw new PeerFailedException($"The queue has {place.Replicas} replicas in sync, not {nodes}, and "
                    + $"{(place.Leader is null ? "no" : "a")} leader after {ReplicaPatience.TotalSeconds} s.");
            await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken);
        }
    }
}
