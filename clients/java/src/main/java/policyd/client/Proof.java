package policyd.client;

import java.util.List;

/**
 * What came along with a sender-bound token, as received; the contract's message {@code SenderProof}
 * says what each field means. What there is not is empty.
 */
public record Proof(
    List<String> dpopProofs, String httpMethod, String httpUri, String clientCertificateSha256) {}
