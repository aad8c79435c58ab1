using System.Net;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>What is known of the client of a connection. Complete once the virtual host is open.</summary>
/// <param name="remote">The client's address.</param>
internal sealed class AmqpClient(IPEndPoint remote)
{
    /// <summary>The client's address.</summary>
    public IPEndPoint Remote { get; } = remote;

    /// <summary>The properties that the client gave.</summary>
    public FieldTable Properties { get; private set; }

    /// <summary>The name that the client gave the connection; null for none.</summary>
    public string? ConnectionName { get; private set; }

    /// <summary>The SASL mechanism by which it has logged in; empty before.</summary>
    public string Mechanism { get; set; } = "";

    /// <summary>Whether it wants a failed login answered.</summary>
    public bool WantsLoginFailure { get; private set; }

    /// <summary>Whether it wants to know that the server cancelled a consumer.</summary>
    public bool WantsConsumerCancel { get; private set; }

    /// <summary>Whether it wants to know that the server takes no messages.</summary>
    public bool WantsBlocked { get; private set; }

    /// <summary>The user that has logged in; empty before.</summary>
    public string User { get; set; } = "";

    /// <summary>That user's id; 0 before.</summary>
    public long UserId { get; set; }

    /// <summary>The virtual host; empty before it was asked for.</summary>
    public string VirtualHost { get; set; } = "";

    /// <summary>The largest frame, in bytes.</summary>
    public int FrameMax { get; set; }

    /// <summary>The most channels.</summary>
    public int ChannelMax { get; set; }

    /// <summary>The heartbeat; zero for none.</summary>
    public TimeSpan Heartbeat { get; set; }

    /// <summary>What only the client can finish; null for an operator's client, which has no connection.</summary>
    public UnfinishedBytes? Unfinished { get; set; }

    /// <summary>Takes the properties that the client gave.</summary>
    public void Introduce(FieldTable properties)
    {
        Properties = properties;
        ConnectionName = properties.Find("connection_name"u8)?.Text;
        var capabilities = properties.Find("capabilities"u8)?.Table ?? default;
        WantsLoginFailure = capabilities.Find("authentication_failure_close"u8)?.Boolean ?? false;
        WantsConsumerCancel = capabilities.Find("consumer_cancel_notify"u8)?.Boolean ?? false;
        WantsBlocked = capabilities.Find("connection.blocked"u8)?.Boolean ?? false;
    }
}
