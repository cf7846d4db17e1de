export function Logo() {
  return (
    <span style={{ display: "inline-flex", alignItems: "center", gap: 9 }}>
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="#17669b" />
        <path
          d="M8 25V14a8 8 0 0 1 16 0v11"
          fill="none"
          stroke="#fff"
          strokeWidth="2.6"
          strokeLinecap="round"
        />
        <path
          d="M8 14.5h16M8 20h16M13.3 14.5V25M18.7 14.5V25"
          fill="none"
          stroke="#b7d5e9"
          strokeWidth="1.8"
          strokeLinecap="round"
        />
      </svg>
      <span style={{ fontWeight: 650, letterSpacing: "-0.01em", fontSize: 15 }}>Portreeve</span>
    </span>
  );
}
