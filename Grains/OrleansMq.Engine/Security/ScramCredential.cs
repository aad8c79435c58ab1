using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Security;

/// <summary>
/// What the broker stores of a password for one mechanism: enough to verify it, not enough to log in with (RFC 5802, section 3). Its text
/// omits the keys.
/// </summary>
internal sealed record ScramCredential
{
    /// <summary>The fewest iterations, as in Kafka.</summary>
    public const int MinIterations = 4_096;

    /// <summary>The most iterations, as in Kafka: a login that takes longer would be a way to keep the broker busy.</summary>
    public const int MaxIterations = 16_384;

    /// <summary>The bytes of a salt that the broker chooses.</summary>
    public const int SaltBytes = 20;

    /// <summary>The mechanism.</summary>
    public required ScramMechanism Mechanism { get; init; }

    /// <summary>Random bytes.</summary>
    public required byte[] Salt { get; init; }

    /// <summary>Iterations of the key derivation.</summary>
    public required int Iterations { get; init; }

    /// <summary>The hash of the client's key.</summary>
    public required byte[] StoredKey { get; init; }

    /// <summary>The key by which the server proves that it knows the credential.</summary>
    public required byte[] ServerKey { get; init; }

    /// <summary>Creates the credential of a password.</summary>
    public static ScramCredential Create(ScramMechanism mechanism, string password, int iterations = MinIterations)
    {
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        return FromSaltedPassword(mechanism, salt, iterations, SaltedPassword(mechanism, password, salt, iterations));
    }

    /// <summary>Creates the credential of a password that a client has salted (KIP-554).</summary>
    public static ScramCredential FromSaltedPassword(ScramMechanism mechanism, byte[] salt, int iterations,
        ReadOnlySpan<byte> saltedPassword) => new()
        {
            Mechanism = mechanism,
            Salt = salt,
            Iterations = iterations,
            StoredKey = mechanism.Digest(mechanism.Hmac(saltedPassword, "Client Key"u8)),
            ServerKey = mechanism.Hmac(saltedPassword, "Server Key"u8),
        };

    /// <summary>Whether a password is the credential's. It takes a few milliseconds of a processor.</summary>
    public bool Verifies(string password)
    {
        var salted = SaltedPassword(Mechanism, password, Salt, Iterations);
        return CryptographicOperations.FixedTimeEquals(StoredKey, Mechanism.Digest(Mechanism.Hmac(salted, "Client Key"u8)));
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Mechanism.Name()}, {Iterations} iterations";

    private static byte[] SaltedPassword(ScramMechanism mechanism, string password, byte[] salt, int iterations) =>
        Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, iterations, mechanism.Hash(), mechanism.HashBytes());
}
