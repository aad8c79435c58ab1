using System.Collections;
using System.Text;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>Prints all public properties of a value as text, collections by element, to compare two values for equality.</summary>
internal static class Printed
{
    public static string Of(object? value)
    {
        var text = new StringBuilder();
        Append(text, value);
        return text.ToString();
    }

    private static void Append(StringBuilder text, object? value)
    {
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case ReadOnlyMemory<byte> bytes:
                text.Append(Convert.ToHexString(bytes.Span));
                break;
            case BrokerException refused:
                text.Append(refused.Code).Append(' ').Append(refused.Message);
                break;
            case string or ValueType when value is string or IFormattable or bool:
                text.Append(value);
                break;
            case IEnumerable items:
                text.Append('[');
                foreach (var item in items)
                {
                    Append(text, item);
                    text.Append(';');
                }
                text.Append(']');
                break;
            default:
                text.Append(value.GetType().Name).Append('{');
                foreach (var property in value.GetType().GetProperties().Where(property => !property.GetMethod!.IsStatic))
                {
                    text.Append(property.Name).Append('=');
                    Append(text, property.GetValue(value));
                    text.Append(' ');
                }
                text.Append('}');
                break;
        }
    }
}
