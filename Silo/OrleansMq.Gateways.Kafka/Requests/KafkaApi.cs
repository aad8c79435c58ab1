using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>One kind of request: which versions are served, how it is read, and how it is answered.</summary>
internal abstract class KafkaApi(ApiKey key, short minVersion, short maxVersion, short flexibleFrom)
{
    /// <summary>A version that no request has: the first flexible one of a request that has none.</summary>
    protected const short NeverFlexible = short.MaxValue;

    public ApiKey Key { get; } = key;

    /// <summary>The lowest version that is advertised.</summary>
    public short MinVersion { get; } = minVersion;

    /// <summary>The highest version that is served.</summary>
    public short MaxVersion { get; } = maxVersion;

    /// <summary>The lowest version that can be read; above <see cref="MinVersion"/> where clients only look at the range.</summary>
    public virtual short MinDecodedVersion => MinVersion;

    /// <summary>Whether the next request of this kind may be begun before this one is answered. Their effects keep the order of the
    /// requests.</summary>
    public virtual bool RunsAhead => false;

    /// <summary>Bytes of a request at most; those without records are small, and become objects that take more than they do on the
    /// wire.</summary>
    public virtual int MaxBytes => 16 << 20;

    /// <summary>Whether it takes but a moment to begin to answer: then it may be done by a thread that serves many connections.</summary>
    public virtual bool IsQuick(GatewayServices services, object request) => false;

    /// <summary>Whether the response's header ends with tagged fields.</summary>
    public virtual bool HasTagsInResponseHeader(short version) => IsFlexible(version);

    public bool IsFlexible(short version) => version >= flexibleFrom;

    public bool Serves(short version) => version >= MinDecodedVersion && version <= MaxVersion;

    /// <summary>Reads the body. What comes out is of no use where the reader has a fault.</summary>
    public abstract object Decode(ref RequestReader reader, short version);

    /// <summary>Answers what <see cref="Decode"/> has read; false for no answer at all.</summary>
    public abstract ValueTask<bool> AnswerAsync(RequestContext context, object request, ResponseWriter response);
}

/// <summary>One kind of request with the type that its body is read into.</summary>
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

    /// <summary>Reads the body but for the tagged fields at its end.</summary>
    protected abstract TRequest Read(ref RequestReader reader, short version);

    /// <summary>Answers.</summary>
    protected abstract ValueTask<bool> AnswerAsync(RequestContext context, TRequest request, ResponseWriter response);

    /// <summary>The answer of a request that never waits.</summary>
    protected static ValueTask<bool> Answered { get; } = new(true);
}
