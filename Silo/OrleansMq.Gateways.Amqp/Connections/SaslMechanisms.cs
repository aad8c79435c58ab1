using System.Text;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>The SASL mechanisms that are offered.</summary>
internal static class SaslMechanisms
{
    /// <summary>The names, separated by blanks.</summary>
    public const string Offered = "PLAIN AMQPLAIN";

    // Mechanisms that RabbitMQ knows.
    private static readonly string[] Known = ["EXTERNAL", "ANONYMOUS", "RABBIT-CR-DEMO"];

    /// <summary>Reads a response.
    /// <code>
    /// PLAIN:    octet 0 | user | octet 0 | password
    /// AMQPLAIN: the entries of a table with LOGIN and PASSWORD, without its length
    /// </code></summary>
    /// <exception cref="AmqpException">The mechanism is not offered, or the response is malformed.</exception>
    public static AmqpLogin Read(string mechanism, LongString response, MethodId method) => mechanism switch
    {
        "PLAIN" => ReadPlain(response.Bytes.Span, method),
        "AMQPLAIN" => ReadAmqPlain(response, method),
        _ => throw new AmqpException(ReplyCode.CommandInvalid,
            $"{(Known.Contains(mechanism) ? "invalid" : "unknown")} authentication mechanism '{mechanism}'", method),
    };

    private static AmqpLogin ReadPlain(ReadOnlySpan<byte> response, MethodId method)
    {
        if (response.IsEmpty || response[0] != 0)
            throw new AmqpException(ReplyCode.SyntaxError, "the PLAIN response does not begin with octet 0: send octet 0, user, octet 0, "
                + "password", method);
        var end = response[1..].IndexOf((byte)0);
        if (end < 0)
            throw new AmqpException(ReplyCode.SyntaxError, "the PLAIN response has no password: send octet 0, user, octet 0, password",
                method);
        return new AmqpLogin("PLAIN", Encoding.UTF8.GetString(response.Slice(1, end)), Encoding.UTF8.GetString(response[(end + 2)..]));
    }

    private static AmqpLogin ReadAmqPlain(LongString response, MethodId method)
    {
        if (FieldForm.FaultOfTable(response.Bytes.Span) is { } fault)
            throw new AmqpException(ReplyCode.SyntaxError, $"the AMQPLAIN response is malformed: {fault}", method);
        var table = new FieldTable(response.Bytes);
        return table.Find("LOGIN"u8)?.Text is { } user && table.Find("PASSWORD"u8)?.Text is { } password
            ? new AmqpLogin("AMQPLAIN", user, password)
            : throw new AmqpException(ReplyCode.SyntaxError, "AMQPLAIN auth info is missing LOGIN or PASSWORD field", method);
    }
}
