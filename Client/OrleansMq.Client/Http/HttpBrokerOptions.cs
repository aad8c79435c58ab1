namespace OrleansMq.Client;

/// <summary>Options of an <see cref="HttpBroker"/>.</summary>
public sealed record HttpBrokerOptions
{
    /// <summary>
    /// How long one request may take, in addition to the wait that a read asks for: 30 seconds by default, above 0. Afterwards its outcome
    /// is unknown (<see cref="ErrorCode.RequestTimedOut"/>).
    /// </summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long an administrative request is retried if it was certainly not executed, or changes nothing and may succeed later. Zero by
    /// default, which tries every address once. Producers and readers retry on their own, within their own deadlines.
    /// </summary>
    public TimeSpan RetryTimeout { get; init; }

    /// <summary>How long to wait for a connection to be established: 5 seconds by default, above 0.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The maximum number of connections per broker, 256 by default. A waiting read occupies one, and so does each batch in flight.
    /// </summary>
    public int MaxConnections { get; init; } = 256;

    /// <summary>The client's name in messages of the broker, such as the reason why a transaction was fenced; null for none. It is sent as
    /// the header <c>User-Agent</c>: printable ASCII. The broker shows 100 characters of it.</summary>
    public string? ClientName { get; init; }

    /// <summary>The user that requests are sent as; null for none. The name has no colon. Without TLS the password can be read on the
    /// way.</summary>
    public string? User { get; init; }

    /// <summary>The user's password.</summary>
    public string? Password { get; init; }

    /// <summary>Returns the token that a request is sent with, a JSON Web Token of an issuer that the brokers accept, in place of
    /// <see cref="User"/>; null for none. It is called for each request, by several threads, so that a token may be renewed: return one
    /// that is at hand. What it throws is thrown by the request. Without TLS the token can be read on the way.</summary>
    public Func<string>? Token { get; init; }

    /// <summary>The file with the authorities that the certificates of https brokers are trusted by, PEM; null: those of the machine. It is
    /// read when the broker is created.</summary>
    public string? CertificateAuthorities { get; init; }

    /// <summary>The file with this client's certificate for https brokers, PEM with its intermediate authorities behind it; null for none.
    /// It is read again for each new connection, so that a certificate may be replaced.</summary>
    public string? ClientCertificate { get; init; }

    /// <summary>The file with the private key of <see cref="ClientCertificate"/>, PEM; null: it is in the same file.</summary>
    public string? ClientKey { get; init; }

    /// <summary>The password of the private key; null: it has none.</summary>
    public string? ClientKeyPassword { get; init; }

    /// <summary>The clock of the time limits.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Omits the passwords.</summary>
    public override string ToString() => nameof(HttpBrokerOptions);
}
