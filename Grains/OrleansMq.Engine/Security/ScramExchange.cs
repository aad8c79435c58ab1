using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace OrleansMq.Security;

/// <summary>
/// The server's side of one SCRAM authentication (RFC 5802): the client's first message, the server's challenge, the client's proof, the
/// server's signature. Channel binding is not offered. A user that does not exist gets a challenge, too, and fails with its proof.
/// </summary>
/// <param name="mechanism">The mechanism that the client chose.</param>
/// <param name="nonce">The server's part of the nonce; null for a random one.</param>
internal sealed class ScramExchange(ScramMechanism mechanism, string? nonce = null)
{
    private const int NonceBytes = 24;
    private const int MaxMessageBytes = 4_096;

    private string _clientFirstBare = "";
    private string _gs2 = "";
    private string _nonce = "";
    private string _serverFirst = "";
    private ScramCredential? _credential;

    /// <summary>The user that the client names; empty before <see cref="TryBegin"/>.</summary>
    public string User { get; private set; } = "";

    /// <summary>Reads the client's first message.</summary>
    /// <returns>Whether it is well formed.</returns>
    public bool TryBegin(ReadOnlySpan<byte> clientFirst)
    {
        if (!TryText(clientFirst, out var text))
            return false;
        // gs2-header: n or y, an optional identity to act as, then the message itself.
        var parts = text.Split(',', 3);
        if (parts.Length < 3 || parts[0] is not ("n" or "y")
            || (parts[1].Length > 0 && !parts[1].StartsWith("a=", StringComparison.Ordinal)))
            return false;
        _gs2 = $"{parts[0]},{parts[1]},";
        _clientFirstBare = parts[2];
        var fields = _clientFirstBare.Split(',');
        if (fields.Length < 2 || !fields[0].StartsWith("n=", StringComparison.Ordinal)
            || !fields[1].StartsWith("r=", StringComparison.Ordinal) || fields[1].Length < 3
            || !TryUnescape(fields[0][2..], out var user) || user.Length == 0)
            return false;
        // The identity to act as is the user itself, or nothing.
        if (parts[1].Length > 0 && (!TryUnescape(parts[1][2..], out var actsAs) || (actsAs.Length > 0 && actsAs != user)))
            return false;
        User = user;
        _nonce = fields[1][2..] + (nonce ?? Convert.ToBase64String(RandomNumberGenerator.GetBytes(NonceBytes)));
        return true;
    }

    /// <summary>Returns the challenge.</summary>
    /// <param name="credential">The user's credential, or what stands for that of a user without one.</param>
    public byte[] Challenge(ScramCredential credential)
    {
        _credential = credential;
        _serverFirst = string.Create(CultureInfo.InvariantCulture,
            $"r={_nonce},s={Convert.ToBase64String(credential.Salt)},i={credential.Iterations}");
        return Encoding.UTF8.GetBytes(_serverFirst);
    }

    /// <summary>Verifies the client's proof.</summary>
    /// <param name="clientFinal">The client's last message.</param>
    /// <param name="signature">The server's last message.</param>
    public bool TryFinish(ReadOnlySpan<byte> clientFinal, out byte[] signature)
    {
        signature = [];
        if (!TryText(clientFinal, out var text) || text.LastIndexOf(",p=", StringComparison.Ordinal) is not (> 0 and var at))
            return false;
        var withoutProof = text[..at];
        // Extensions may follow the nonce. librdkafka before 2.10 writes its own part twice; what ends with the server's nonce is as fresh.
        var fields = withoutProof.Split(',');
        if (fields.Length < 2 || fields[0] != "c=" + Convert.ToBase64String(Encoding.UTF8.GetBytes(_gs2))
            || !fields[1].StartsWith("r=", StringComparison.Ordinal) || !fields[1].EndsWith(_nonce, StringComparison.Ordinal))
            return false;
        var proof = new byte[mechanism.HashBytes() + 2];
        if (_credential is not { } credential || !Convert.TryFromBase64String(text[(at + 3)..], proof, out var written)
            || written != mechanism.HashBytes())
            return false;
        var signed = Encoding.UTF8.GetBytes($"{_clientFirstBare},{_serverFirst},{withoutProof}");
        var clientSignature = mechanism.Hmac(credential.StoredKey, signed);
        var clientKey = new byte[written];
        for (var index = 0; index < written; index++)
            clientKey[index] = (byte)(proof[index] ^ clientSignature[index]);
        if (!CryptographicOperations.FixedTimeEquals(mechanism.Digest(clientKey), credential.StoredKey))
            return false;
        signature = Encoding.UTF8.GetBytes("v=" + Convert.ToBase64String(mechanism.Hmac(credential.ServerKey, signed)));
        return true;
    }

    private static bool TryText(ReadOnlySpan<byte> message, out string text)
    {
        text = "";
        if (message.Length is 0 or > MaxMessageBytes || message.Contains((byte)0))
            return false;
        try
        {
            text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(message);
            return true;
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }

    // In names a comma is =2C and an equals sign is =3D.
    private static bool TryUnescape(string escaped, out string name)
    {
        name = escaped.Replace("=2C", ",", StringComparison.Ordinal).Replace("=3D", "=", StringComparison.Ordinal);
        return escaped.Split('=').Skip(1).All(static part => part.StartsWith("2C", StringComparison.Ordinal)
            || part.StartsWith("3D", StringComparison.Ordinal));
    }
}
