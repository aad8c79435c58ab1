namespace OrleansMq.Hosting;

/// <summary>Messages between the gateways of a cluster's brokers. One may be lost, or come twice. Thread safe.</summary>
internal interface IGatewayPeers
{
    /// <summary>Takes the messages to a gateway of this broker.</summary>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="handler">Returns the answer. It returns quickly; null takes no more.</param>
    void Receive(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler);

    /// <summary>Sends a message to a gateway of another broker. Returns its answer; false if there is none.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="message">The message. Its bytes must not change any more.</param>
    Task<bool> SendAsync(int broker, string gateway, ReadOnlyMemory<byte> message);

    /// <summary>Answers the questions to a gateway of this broker.</summary>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="handler">Returns the answer, whose bytes must not change any more. It may wait for some seconds; null answers no
    /// more.</param>
    void Answer(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler);

    /// <summary>Asks a gateway of another broker. Returns its answer; null if there is none: the question may have been carried out, or
    /// may be later.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="gateway">The gateway's name.</param>
    /// <param name="question">The question. Its bytes must not change any more.</param>
    Task<ReadOnlyMemory<byte>?> AskAsync(int broker, string gateway, ReadOnlyMemory<byte> question);

    /// <summary>Returns whether another broker has a gateway that answers questions, or a build whose gateways can do something; null where
    /// there is no answer, as of one of an earlier build.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="gateway">The gateway's name, or one of <see cref="GatewayFeatures"/>.</param>
    Task<bool?> HasGatewayAsync(int broker, string gateway);

    /// <summary>Returns the broker that runs an incarnation (<see cref="HostedBroker.Incarnation"/>); null unless it is a live
    /// member.</summary>
    int? BrokerOf(string incarnation);

    /// <summary>Whether an incarnation has ended for good. One that is not known has not.</summary>
    bool HasEnded(string incarnation);
}

/// <summary>What the gateways of this build can do, whether the broker runs them or not. Brokers of earlier builds are asked for
/// it.</summary>
internal static class GatewayFeatures
{
    /// <summary>AMQP gateways read queues in the memory of other brokers.</summary>
    public const string MemoryReaders = "amqp-memory-readers";

    /// <summary>All of them.</summary>
    public static IReadOnlySet<string> All { get; } = new HashSet<string>(StringComparer.Ordinal) { MemoryReaders };
}

/// <summary>There are no other brokers.</summary>
internal sealed class NoPeers : IGatewayPeers
{
    /// <summary>The only one.</summary>
    public static NoPeers Instance { get; } = new();

    /// <inheritdoc/>
    public void Receive(string gateway, Func<ReadOnlyMemory<byte>, bool>? handler)
    {
    }

    /// <inheritdoc/>
    public Task<bool> SendAsync(int broker, string gateway, ReadOnlyMemory<byte> message) => Task.FromResult(false);

    /// <inheritdoc/>
    public void Answer(string gateway, Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>>>? handler)
    {
    }

    /// <inheritdoc/>
    public Task<ReadOnlyMemory<byte>?> AskAsync(int broker, string gateway, ReadOnlyMemory<byte> question) =>
        Task.FromResult<ReadOnlyMemory<byte>?>(null);

    /// <inheritdoc/>
    public Task<bool?> HasGatewayAsync(int broker, string gateway) => Task.FromResult<bool?>(null);

    /// <inheritdoc/>
    public int? BrokerOf(string incarnation) => null;

    /// <inheritdoc/>
    public bool HasEnded(string incarnation) => false;
}
