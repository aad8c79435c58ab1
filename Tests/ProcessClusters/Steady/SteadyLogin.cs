using System.Text.Json;
using Confluent.Kafka;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>A login over TLS, in the form that each client takes.</summary>
/// <param name="Authorities">The file with the authorities that issue the brokers' certificates.</param>
internal abstract record SteadyLogin(string Authorities)
{
    /// <summary>As arguments of kcat.</summary>
    public IEnumerable<string> ToKcat() => Librdkafka.SelectMany(static one => (string[])["-X", $"{one.Name}={one.Value}"]);

    /// <summary>As properties of Kafka's own client.</summary>
    public string ToProperties() => string.Concat(Java.Select(static one => $"{one.Name}={one.Value}\n"));

    /// <summary>As keyword arguments of kafka-python, in JSON.</summary>
    public string ToPython() => JsonSerializer.Serialize(Python.ToDictionary());

    /// <summary>Adds it to a configuration.</summary>
    public void AddTo(ClientConfig config)
    {
        foreach (var (name, value) in Librdkafka)
            config.Set(name, value);
    }

    /// <summary>The options of Java itself, which Kafka's own client needs.</summary>
    public virtual IEnumerable<string> JavaOptions => [];

    /// <summary>Gives a client of librdkafka the token that it asks for.</summary>
    public virtual void SetToken(IClient client) => throw new InvalidOperationException($"{GetType().Name} has no token.");

    /// <summary>The settings of librdkafka.</summary>
    protected abstract IEnumerable<(string Name, string Value)> Librdkafka { get; }

    /// <summary>The settings of Kafka's own client.</summary>
    protected abstract IEnumerable<(string Name, string Value)> Java { get; }

    /// <summary>The arguments of kafka-python.</summary>
    protected abstract IEnumerable<KeyValuePair<string, string>> Python { get; }
}

/// <summary>A user with a password.</summary>
/// <param name="Authorities">The file with the authorities that issue the brokers' certificates.</param>
/// <param name="Mechanism">PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.</param>
/// <param name="User">The user.</param>
/// <param name="Password">The password; without quotes.</param>
internal sealed record PasswordLogin(string Authorities, string Mechanism, string User, string Password) : SteadyLogin(Authorities)
{
    protected override IEnumerable<(string Name, string Value)> Librdkafka =>
    [
        ("security.protocol", "sasl_ssl"), ("ssl.ca.location", Authorities), ("sasl.mechanisms", Mechanism), ("sasl.username", User),
        ("sasl.password", Password),
    ];

    protected override IEnumerable<(string Name, string Value)> Java =>
    [
        ("security.protocol", "SASL_SSL"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", Authorities),
        ("sasl.mechanism", Mechanism), ("sasl.jaas.config", $"org.apache.kafka.common.security.{Module} required username=\"{User}\" "
            + $"password=\"{Password}\";"),
    ];

    protected override IEnumerable<KeyValuePair<string, string>> Python =>
    [
        new("security_protocol", "SASL_SSL"), new("ssl_cafile", Authorities), new("sasl_mechanism", Mechanism),
        new("sasl_plain_username", User), new("sasl_plain_password", Password),
    ];

    private string Module => Mechanism == "PLAIN" ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
}

/// <summary>A token of an issuer, for OAUTHBEARER.</summary>
/// <param name="Authorities">The file with the authorities that issue the brokers' certificates.</param>
/// <param name="User">Whom the token names.</param>
/// <param name="Token">The token.</param>
/// <param name="TokenFile">The file with the token.</param>
/// <param name="Expires">When the token expires.</param>
internal sealed record TokenLogin(string Authorities, string User, string Token, string TokenFile, DateTimeOffset Expires)
    : SteadyLogin(Authorities)
{
    private const string Package = "org.apache.kafka.common.security.oauthbearer";

    public override IEnumerable<string> JavaOptions => [$"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{TokenFile}"];

    protected override IEnumerable<(string Name, string Value)> Librdkafka =>
        [("security.protocol", "sasl_ssl"), ("ssl.ca.location", Authorities), ("sasl.mechanisms", "OAUTHBEARER")];

    protected override IEnumerable<(string Name, string Value)> Java =>
    [
        ("security.protocol", "SASL_SSL"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", Authorities),
        ("sasl.mechanism", "OAUTHBEARER"), ("sasl.login.callback.handler.class", $"{Package}.OAuthBearerLoginCallbackHandler"),
        ("sasl.oauthbearer.jwt.retriever.class", $"{Package}.FileJwtRetriever"),
        ("sasl.oauthbearer.token.endpoint.url", $"file://{TokenFile}"),
        ("sasl.jaas.config", $"{Package}.OAuthBearerLoginModule required;"),
    ];

    // The script makes a token provider of the last one.
    protected override IEnumerable<KeyValuePair<string, string>> Python =>
    [
        new("security_protocol", "SASL_SSL"), new("ssl_cafile", Authorities), new("sasl_mechanism", "OAUTHBEARER"), new("token", Token),
    ];

    public override void SetToken(IClient client) => client.OAuthBearerSetToken(Token, Expires.ToUnixTimeMilliseconds(), User);
}

/// <summary>A client's certificate.</summary>
/// <param name="Authorities">The file with the authorities that issue the brokers' certificates.</param>
/// <param name="Certificate">The file with the client's certificate and its key, PEM; null for a client without one.</param>
internal sealed record CertificateLogin(string Authorities, string? Certificate) : SteadyLogin(Authorities)
{
    protected override IEnumerable<(string Name, string Value)> Librdkafka =>
    [
        ("security.protocol", "ssl"), ("ssl.ca.location", Authorities),
        .. Certificate is { } own ? [("ssl.certificate.location", own), ("ssl.key.location", own)] : ((string, string)[])[],
    ];

    protected override IEnumerable<(string Name, string Value)> Java =>
    [
        ("security.protocol", "SSL"), ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", Authorities),
        .. Certificate is { } own ? [("ssl.keystore.type", "PEM"), ("ssl.keystore.location", own)] : ((string, string)[])[],
    ];

    protected override IEnumerable<KeyValuePair<string, string>> Python =>
    [
        new("security_protocol", "SSL"), new("ssl_cafile", Authorities),
        .. Certificate is { } own ? [new("ssl_certfile", own), new("ssl_keyfile", own)] : (KeyValuePair<string, string>[])[],
    ];
}
