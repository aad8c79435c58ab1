using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Sasl;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 36: a message of the mechanism that <see cref="SaslHandshakeApi"/> has chosen (KIP-152). The last answer tells when to
/// authenticate again (KIP-368).</summary>
internal sealed class SaslAuthenticateApi() : KafkaApi<SaslAuthenticateRequest>(ApiKey.SaslAuthenticate, 0, 2, flexibleFrom: 2)
{
    public override int MaxBytes => SaslExchange.MaxMessageBytes;

    protected override SaslAuthenticateRequest Read(ref RequestReader reader, short version) => new(reader.ReadBytes());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, SaslAuthenticateRequest request, ResponseWriter response)
    {
        var answer = context.Connection.Sasl is { } sasl
            ? await sasl.NextAsync(request.Message, context.Aborted).ConfigureAwait(false)
            : new SaslAnswer(ErrorCode.IllegalSaslState, "This listener asks for no authentication.", [], TimeSpan.Zero);
        response.WriteError(answer.Error);
        response.WriteString(answer.Message);
        response.WriteBytes(answer.Bytes);
        if (context.Version >= 1)
            response.WriteInt64((long)answer.Lifetime.TotalMilliseconds);
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
/// <param name="Message">The mechanism's message, a slice of the frame.</param>
internal sealed record SaslAuthenticateRequest(ReadOnlyMemory<byte> Message)
{
    /// <summary>Omits the message, which may be a password.</summary>
    public override string ToString() => nameof(SaslAuthenticateRequest);
}
