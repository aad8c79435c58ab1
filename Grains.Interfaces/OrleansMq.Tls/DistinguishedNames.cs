using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace OrleansMq.Tls;

/// <summary>The subject of a certificate as text.</summary>
internal static class DistinguishedNames
{
    private static readonly Dictionary<string, string> _keywords = new(StringComparer.Ordinal)
    {
        ["2.5.4.3"] = "CN",
        ["2.5.4.6"] = "C",
        ["2.5.4.7"] = "L",
        ["2.5.4.8"] = "ST",
        ["2.5.4.9"] = "STREET",
        ["2.5.4.10"] = "O",
        ["2.5.4.11"] = "OU",
        ["0.9.2342.19200300.100.1.1"] = "UID",
        ["0.9.2342.19200300.100.1.25"] = "DC",
    };

    /// <summary>Formats a name as RFC 2253 does, which is Kafka's form: <c>CN=alice,OU=orders,O=Example</c>. Attributes that the RFC has no
    /// keyword for are <c>1.2.840.113549.1.9.1=#1603612e62</c>.</summary>
    /// <exception cref="CryptographicException">The name is not valid DER.</exception>
    public static string ToRfc2253(X500DistinguishedName name)
    {
        try
        {
            var parts = new List<string>();
            for (var names = new AsnReader(name.RawData, AsnEncodingRules.DER).ReadSequence(); names.HasData;)
                parts.Add(ReadPart(names.ReadSetOf()));
            parts.Reverse();
            return string.Join(',', parts);
        }
        catch (AsnContentException fault)
        {
            throw new CryptographicException("The certificate's subject is not valid DER.", fault);
        }
    }

    private static string ReadPart(AsnReader part)
    {
        var attributes = new List<string>();
        while (part.HasData)
        {
            var attribute = part.ReadSequence();
            var id = attribute.ReadObjectIdentifier();
            attributes.Add(_keywords.TryGetValue(id, out var keyword) && ReadText(attribute) is { } text ? $"{keyword}={Escape(text)}"
                : $"{id}=#{Convert.ToHexStringLower(attribute.ReadEncodedValue().Span)}");
        }
        return string.Join('+', attributes);
    }

    // Null, and nothing read, where the value is not text.
    private static string? ReadText(AsnReader attribute)
    {
        var tag = attribute.PeekTag();
        return tag.TagClass == TagClass.Universal && (UniversalTagNumber)tag.TagValue is UniversalTagNumber.UTF8String
            or UniversalTagNumber.PrintableString or UniversalTagNumber.IA5String or UniversalTagNumber.T61String
            or UniversalTagNumber.BMPString or UniversalTagNumber.NumericString
            ? attribute.ReadCharacterString((UniversalTagNumber)tag.TagValue) : null;
    }

    private static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length);
        for (var index = 0; index < text.Length; index++)
        {
            var isAtEdge = (index == 0 && text[index] is ' ' or '#') || (index == text.Length - 1 && text[index] == ' ');
            if (isAtEdge || text[index] is ',' or '+' or '"' or '\\' or '<' or '>' or ';')
                escaped.Append('\\');
            escaped.Append(text[index]);
        }
        return escaped.ToString();
    }
}
