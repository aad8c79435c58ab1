using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>One kind of request: its supported versions, its decoder and its handler. <see cref="ApiTable"/> creates one of each derived
/// class.</summary>
internal abstract class KafkaApi(ApiKey key, short minVersion, short maxVersion, short flexibleFrom)
{
    /// <summary>A version above all others, for a request without flexible versions.</summary>
    protected const short NeverFlexible = short.MaxValue;

    public ApiKey Key { get; } = key;

    /// <summary>The lowest advertised version.</summary>
    public short MinVersion { get; } = minVersion;

    /// <summary>The highest supported version.</summary>
    public short MaxVersion { get; } = maxVersion;

    /// <summary>The lowest version that can be decoded; above <see cref="MinVersion"/> if clients only check the range.</summary>
    public virtual short MinDecodedVersion => MinVersion;

    /// <summary>Whether the next request of this kind may begin before this one is answered. Their effects keep the order of the
    /// requests.</summary>
    public virtual bool RunsAhead => false;

    /// <summary>The most bytes of a request. Requests without records are small, and their objects take more memory than the
    /// frame.</summary>
    public virtual int MaxBytes => 16 << 20;

    /// <summary>Whether the answer begins without delay, so that a thread that serves many connections may run the handler.</summary>
    public virtual bool IsQuick(GatewayServices services, object request) => false;

    /// <summary>Whether the response's header ends with tagged fields.</summary>
    public virtual bool HasTagsInResponseHeader(short version) => IsFlexible(version);

    public bool IsFlexible(short version) => version >= flexibleFrom;

    public bool Serves(short version) => version >= MinDecodedVersion && version <= MaxVersion;

    /// <summary>Decodes the body. The result is invalid if the reader has a fault.</summary>
    public abstract object Decode(ref RequestReader reader, short version);

    /// <summary>Answers a request that <see cref="Decode"/> returned; false for no answer at all.</summary>
    public abstract ValueTask<bool> AnswerAsync(RequestContext context, object request, ResponseWriter response);
}

/// <summary>One kind of request, with the type of its decoded body.</summary>
internal abstract class KafkaApi<TRequest>(ApiKey key, short minVersion, short maxVersion, short flexibleFrom)
    : KafkaApi(key, minVersion, maxVersion, flexibleFrom)
    where TRequest : class
{
    /// <inheritdoc/>
    public sealed override object Decode(ref RequestReader reader, short version)
    {
        var request = Read(ref reader, version);
        reader.SkipTags();
        return request;
    }

    /// <inheritdoc/>
    public sealed override ValueTask<bool> AnswerAsync(RequestContext context, object request, ResponseWriter response) =>
        AnswerAsync(context, (TRequest)request, response);

    /// <summary>Reads the body, without the tagged fields at its end.</summary>
    protected abstract TRequest Read(ref RequestReader reader, short version);

    /// <summary>Answers the request.</summary>
    protected abstract ValueTask<bool> AnswerAsync(RequestContext context, TRequest request, ResponseWriter response);

    /// <summary>The result of a handler that never waits.</summary>
    protected static ValueTask<bool> Answered { get; } = new(true);
}
