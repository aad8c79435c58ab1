using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 17: chooses the mechanism of an authentication (KIP-43). After version 0 its messages follow as they are, after version 1
/// each in a <see cref="SaslAuthenticateApi"/> (KIP-152).</summary>
internal sealed class SaslHandshakeApi() : KafkaApi<SaslHandshakeRequest>(ApiKey.SaslHandshake, 0, 1, NeverFlexible)
{
    public override int MaxBytes => SaslExchange.MaxMessageBytes;

    protected override SaslHandshakeRequest Read(ref RequestReader reader, short version) => new(reader.ReadString());

    protected override ValueTask<bool> AnswerAsync(RequestContext context, SaslHandshakeRequest request, ResponseWriter response)
    {
        var sasl = context.Connection.Sasl;
        response.WriteError(sasl?.Begin(request.Mechanism, isRaw: context.Version == 0) ?? ErrorCode.IllegalSaslState);
        response.WriteLength(sasl?.Mechanisms.Count ?? 0);
        if (sasl is not null)
        {
            foreach (var mechanism in sasl.Mechanisms)
                response.WriteString(mechanism);
        }
        return Answered;
    }
}

/// <summary>The body.</summary>
/// <param name="Mechanism">The mechanism's name in SASL.</param>
internal sealed record SaslHandshakeRequest(string Mechanism);
