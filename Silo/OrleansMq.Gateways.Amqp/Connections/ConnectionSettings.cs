using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>What a connection offers and allows.</summary>
internal sealed record ConnectionSettings
{
    /// <summary>The version of RabbitMQ whose behaviour clients are told to expect.</summary>
    public const string RabbitMqVersion = "4.3.0";

    /// <summary>The product's name.</summary>
    public const string Product = "OrleansMq";

    /// <summary>The smallest frame_max of the specification. RabbitMQ 4.1 and later want 8192, which old clients do not offer.</summary>
    public const int MinFrameMax = 4096;

    /// <summary>The largest frame before the client has tuned: tokens as passwords are long.</summary>
    public const int HandshakeFrameMax = 8192;

    /// <summary>The time of the whole handshake.</summary>
    public static readonly TimeSpan HandshakeTime = TimeSpan.FromSeconds(10);

    /// <summary>How long a connection stays open after an error that its client is not told, or cannot be asked to confirm.</summary>
    public static readonly TimeSpan SilentCloseTime = TimeSpan.FromSeconds(3);

    /// <summary>The longest wait for the client's close-ok.</summary>
    public static readonly TimeSpan MaxCloseTime = TimeSpan.FromSeconds(30);

    /// <summary>The longest time without a part of a content that is not complete, or the longest silence that heartbeats allow if that is
    /// more: clients write a message in one go.</summary>
    public static readonly TimeSpan MaxContentPause = TimeSpan.FromMinutes(1);

    /// <summary>The name of the cluster, which clients show.</summary>
    public string ClusterName { get; init; } = "orleansmq";

    /// <summary>The most channels of a connection.</summary>
    public ushort ChannelMax { get; init; } = 2047;

    /// <summary>The largest frame, in bytes.</summary>
    public int FrameMax { get; init; } = 131072;

    /// <summary>The heartbeat that is proposed, in seconds; 0 for none.</summary>
    public ushort Heartbeat { get; init; } = 60;

    /// <summary>The largest body of a message, in bytes.</summary>
    public int MaxMessageBytes { get; init; } = 16 << 20;

    /// <summary>Bytes of commands that are not done, and, apart from them, of contents that have arrived in part: 64 MiB each, a few of the
    /// largest messages. The connection is not read from while it has more of the first, and is closed with more of the second.</summary>
    public long MaxInFlightBytes { get; init; } = 64L << 20;

    /// <summary>What the server tells of itself. Clients of RabbitMQ parse the version as that of RabbitMQ.</summary>
    public FieldTable ServerProperties() => FieldTable.Of(
        ("capabilities", FieldValue.Of(FieldTable.Of(
            ("publisher_confirms", FieldValue.Of(true)),
            ("exchange_exchange_bindings", FieldValue.Of(true)),
            ("basic.nack", FieldValue.Of(true)),
            ("consumer_cancel_notify", FieldValue.Of(true)),
            ("connection.blocked", FieldValue.Of(true)),
            ("consumer_priorities", FieldValue.Of(true)),
            ("authentication_failure_close", FieldValue.Of(true)),
            ("per_consumer_qos", FieldValue.Of(true)),
            ("direct_reply_to", FieldValue.Of(true))))),
        ("cluster_name", FieldValue.Of(ClusterName)),
        ("copyright", FieldValue.Of("Copyright (c) OrleansMq contributors")),
        ("information", FieldValue.Of("Licensed under the MIT license")),
        ("platform", FieldValue.Of(".NET")),
        ("product", FieldValue.Of(Product)),
        ("version", FieldValue.Of(RabbitMqVersion)));
}
