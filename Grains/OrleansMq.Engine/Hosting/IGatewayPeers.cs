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
}
