using System.Security.Cryptography;

namespace OrleansMq.Security;

/// <summary>A mechanism of SCRAM (RFC 5802, RFC 7677), with its number in Kafka's protocol (KIP-554).</summary>
public enum ScramMechanism : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary><c>SCRAM-SHA-256</c>.</summary>
    Sha256 = 1,
    /// <summary><c>SCRAM-SHA-512</c>.</summary>
    Sha512 = 2,
}

/// <summary>Facts about mechanisms of SCRAM.</summary>
internal static class ScramMechanisms
{
    /// <summary>The mechanism's name in SASL.</summary>
    public static string Name(this ScramMechanism mechanism) => mechanism == ScramMechanism.Sha256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512";

    /// <summary>Returns the mechanism with that name; <see cref="ScramMechanism.Unknown"/> for none.</summary>
    public static ScramMechanism Parse(string name) => name switch
    {
        "SCRAM-SHA-256" => ScramMechanism.Sha256,
        "SCRAM-SHA-512" => ScramMechanism.Sha512,
        _ => ScramMechanism.Unknown,
    };

    internal static HashAlgorithmName Hash(this ScramMechanism mechanism) =>
        mechanism == ScramMechanism.Sha256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA512;

    internal static int HashBytes(this ScramMechanism mechanism) =>
        mechanism == ScramMechanism.Sha256 ? SHA256.HashSizeInBytes : SHA512.HashSizeInBytes;

    internal static byte[] Hmac(this ScramMechanism mechanism, ReadOnlySpan<byte> key, ReadOnlySpan<byte> data) =>
        mechanism == ScramMechanism.Sha256 ? HMACSHA256.HashData(key, data) : HMACSHA512.HashData(key, data);

    internal static byte[] Digest(this ScramMechanism mechanism, ReadOnlySpan<byte> data) =>
        mechanism == ScramMechanism.Sha256 ? SHA256.HashData(data) : SHA512.HashData(data);
}
