using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using OrleansMq.Security;

namespace OrleansMq.Tests.Shared;

/// <summary>The client's side of SCRAM, from RFC 5802.</summary>
internal sealed class ScramClient(ScramMechanism mechanism, string user, string password)
{
    private readonly string _nonce = Convert.ToHexString(RandomNumberGenerator.GetBytes(12));
    private byte[] _expected = [];

    /// <summary>Whether the last message has the client's nonce twice, as older versions of librdkafka send it.</summary>
    public bool RepeatsNonce { get; init; }

    private string Bare =>
        $"n={user.Replace("=", "=3D", StringComparison.Ordinal).Replace(",", "=2C", StringComparison.Ordinal)},r={_nonce}";

    /// <summary>The first message.</summary>
    public byte[] First() => Encoding.UTF8.GetBytes("n,," + Bare);

    /// <summary>The last message, for the server's challenge.</summary>
    public byte[] Final(byte[] challenge)
    {
        var serverFirst = Encoding.UTF8.GetString(challenge);
        var fields = serverFirst.Split(',');
        var salt = Convert.FromBase64String(fields[1][2..]);
        var salted = Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt,
            int.Parse(fields[2][2..], CultureInfo.InvariantCulture), Name, Size);
        var withoutProof = $"c=biws,r={(RepeatsNonce ? _nonce : "")}{fields[0][2..]}";
        var signed = Encoding.UTF8.GetBytes($"{Bare},{serverFirst},{withoutProof}");
        var clientKey = Hmac(salted, "Client Key");
        var signature = CryptographicOperations.HmacData(Name, CryptographicOperations.HashData(Name, clientKey), signed);
        _expected = CryptographicOperations.HmacData(Name, Hmac(salted, "Server Key"), signed);
        var proof = clientKey.Zip(signature, static (key, mask) => (byte)(key ^ mask)).ToArray();
        return Encoding.UTF8.GetBytes($"{withoutProof},p={Convert.ToBase64String(proof)}");
    }

    /// <summary>Whether the server has proved that it knows the credential.</summary>
    public bool Trusts(byte[] serverFinal) => Encoding.UTF8.GetString(serverFinal) == "v=" + Convert.ToBase64String(_expected);

    private HashAlgorithmName Name => mechanism == ScramMechanism.Sha256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA512;

    private int Size => mechanism == ScramMechanism.Sha256 ? 32 : 64;

    private byte[] Hmac(byte[] key, string text) => CryptographicOperations.HmacData(Name, key, Encoding.UTF8.GetBytes(text));
}
