using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Requests;

/// <summary>The outcome of decoding a frame.</summary>
internal enum DecodeOutcome
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>A valid request.</summary>
    Decoded = 1,
    /// <summary>The header is malformed.</summary>
    BadHeader = 2,
    /// <summary>The request's key is not supported.</summary>
    UnknownKey = 3,
    /// <summary>The request's version is not supported.</summary>
    UnsupportedVersion = 4,
    /// <summary>The body is malformed.</summary>
    BadBody = 5,
    /// <summary>The request is larger than its kind allows.</summary>
    TooLarge = 6,
}

/// <summary>A decoded request.</summary>
/// <param name="Outcome">The outcome.</param>
/// <param name="Api">The request's kind; null if unknown.</param>
/// <param name="Key">The kind's number on the wire.</param>
/// <param name="Version">The request's version.</param>
/// <param name="CorrelationId">The id by which the client matches the answer.</param>
/// <param name="ClientId">The client's name for itself.</param>
/// <param name="Body">The decoded body; null unless it was decoded.</param>
/// <param name="Fault">What is malformed.</param>
/// <param name="Unread">The number of bytes after the body.</param>
internal readonly record struct DecodedRequest(DecodeOutcome Outcome, KafkaApi? Api, short Key, short Version, int CorrelationId,
    string ClientId, object? Body,
    string? Fault, int Unread);

/// <summary>
/// The supported kinds of requests: every class that is a <see cref="KafkaApi"/>, one a file in <c>Apis</c>. A frame, after its length:
/// <code>
/// int16  key
/// int16  version
/// int32  correlation id
/// string client id, int16 length, may be null
/// tagged fields, in flexible versions
/// body
/// </code>
/// </summary>
internal static class ApiTable
{
    private static readonly KafkaApi?[] ByKey = Index();

    /// <summary>All supported kinds, by key.</summary>
    public static IReadOnlyList<KafkaApi> All { get; } = [.. ByKey.OfType<KafkaApi>()];

    /// <summary>Finds the kind with that key; null if it is not supported.</summary>
    public static KafkaApi? Find(short key) => (uint)key < (uint)ByKey.Length ? ByKey[key] : null;

    /// <summary>Decodes a frame, without its length.</summary>
    public static DecodedRequest Decode(Memory<byte> frame)
    {
        var reader = new RequestReader(frame);
        var (key, version, correlationId) = (reader.ReadInt16(), reader.ReadInt16(), reader.ReadInt32());
        if (Find(key) is not { } api)
            return Failed(reader.Fault is null ? DecodeOutcome.UnknownKey : DecodeOutcome.BadHeader, null, reader.Fault
                ?? $"Key {key} is not served");
        if (frame.Length > api.MaxBytes)
            return Failed(DecodeOutcome.TooLarge, api, $"A request of {frame.Length} bytes; {api.MaxBytes} are the most for {api.Key}");
        var clientId = reader.ReadNullableInt16String() ?? "";
        reader.IsFlexible = api.IsFlexible(version);
        if (!api.Serves(version))
            return Failed(DecodeOutcome.UnsupportedVersion, api,
                $"Version {version} of {api.Key} is not served, only {api.MinDecodedVersion} to {api.MaxVersion}");
        reader.SkipTags();
        if (reader.Fault is not null)
            return Failed(DecodeOutcome.BadHeader, api, reader.Fault);
        var body = api.Decode(ref reader, version);
        return reader.Fault is null
            ? new DecodedRequest(DecodeOutcome.Decoded, api, key, version, correlationId, clientId, body, null, reader.Remaining)
            : Failed(DecodeOutcome.BadBody, api, reader.Fault);

        DecodedRequest Failed(DecodeOutcome outcome, KafkaApi? api, string fault) =>
            new(outcome, api, key, version, correlationId, "", null, fault, 0);
    }

    private static KafkaApi?[] Index()
    {
        KafkaApi[] served = [.. from type in typeof(KafkaApi).Assembly.GetTypes()
                                where type.IsAssignableTo(typeof(KafkaApi)) && !type.IsAbstract
                                select (KafkaApi)Activator.CreateInstance(type)!];
        var byKey = new KafkaApi?[served.Max(static api => (int)api.Key) + 1];
        foreach (var api in served)
        {
            Invariant.Check(byKey[(int)api.Key] is null, "One class serves a key");
            byKey[(int)api.Key] = api;
        }
        return byKey;
    }
}
