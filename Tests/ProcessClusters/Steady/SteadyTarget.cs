using Confluent.Kafka;

namespace OrleansMq.Tests.ProcessClusters.Steady;

/// <summary>What a client does.</summary>
/// <param name="Brokers">The brokers.</param>
/// <param name="Topic">Its topic and its group.</param>
/// <param name="Count">The number of its records.</param>
/// <param name="Login">How it connects; null: in the clear, without a login.</param>
internal sealed record SteadyTarget(string Brokers, string Topic, int Count, SteadyLogin? Login = null);

/// <summary>A login over TLS.</summary>
/// <param name="Authority">The file with the authority's certificate.</param>
/// <param name="Mechanism">PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.</param>
/// <param name="User">The user.</param>
/// <param name="Password">The password; without quotes.</param>
internal sealed record SteadyLogin(string Authority, string Mechanism, string User, string Password)
{
    /// <summary>As arguments of kcat.</summary>
    public IEnumerable<string> ToKcat() => ((string[])["security.protocol=sasl_ssl", $"ssl.ca.location={Authority}",
        $"sasl.mechanisms={Mechanism}", $"sasl.username={User}", $"sasl.password={Password}"])
        .SelectMany(static property => (string[])["-X", property]);

    /// <summary>As properties of Kafka's own client.</summary>
    public string ToProperties()
    {
        var module = Mechanism == "PLAIN" ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        return $"""
            security.protocol=SASL_SSL
            ssl.truststore.type=PEM
            ssl.truststore.location={Authority}
            sasl.mechanism={Mechanism}
            sasl.jaas.config=org.apache.kafka.common.security.{module} required username="{User}" password="{Password}";

            """;
    }

    /// <summary>Adds it to a configuration.</summary>
    public void AddTo(ClientConfig config)
    {
        config.SecurityProtocol = SecurityProtocol.SaslSsl;
        config.SslCaLocation = Authority;
        config.SaslMechanism = Mechanism switch
        {
            "PLAIN" => SaslMechanism.Plain,
            "SCRAM-SHA-256" => SaslMechanism.ScramSha256,
            _ => SaslMechanism.ScramSha512,
        };
        (config.SaslUsername, config.SaslPassword) = (User, Password);
    }
}
